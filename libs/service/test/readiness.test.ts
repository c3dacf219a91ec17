import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Postgres } from '@nixfleet/infra';
import { TestServers, until } from '@nixfleet/infra/testing';
import { hostUp } from '@nixfleet/schema';
import { publishEvent } from '../src/index.ts';
import { type Chassis, startChassis } from './chassis.ts';

/** Servers that die: this file has a Postgres of its own. */
let servers: TestServers;
let dir: string;
let postgres: Postgres;
const startPostgres = (port?: number): Promise<Postgres> =>
  Postgres.start({
    dataDir: join(dir, 'postgres/data'),
    logFile: join(dir, 'postgres.log'),
    ...(port === undefined ? {} : { port }),
  });

before(async () => {
  servers = await TestServers.start();
  dir = await mkdtemp(join(tmpdir(), 'nixfleet-readiness-'));
  await chmod(dir, 0o711);
  postgres = await startPostgres();
});
after(async () => {
  await postgres[Symbol.asyncDispose]();
  await servers[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

async function provision(database: string): Promise<{ url: string }> {
  await postgres.provision(database, [{ role: 'telemetry', password: 'p', schema: 'telemetry' }]);
  return { url: postgres.url(database, { name: 'telemetry', password: 'p' }) };
}

/** Status of /readyz and the dependencies that it says are missing. */
async function readiness(chassis: Chassis): Promise<{ status: number; missing: string[] }> {
  const response = await fetch(`${chassis.url}/readyz`);
  const { dependencies } = (await response.json()) as {
    dependencies: { name: string; up: boolean; reason?: string }[];
  };
  for (const { up, reason } of dependencies) assert.equal(up, reason === undefined, 'what is down has a reason');
  return { status: response.status, missing: dependencies.filter(({ up }) => !up).map(({ name }) => name) };
}

const becomes = (chassis: Chassis, status: number, missing: readonly string[]): Promise<void> =>
  until(async () => {
    const now = await readiness(chassis);
    return now.status === status && now.missing.join() === missing.join();
  });

test('readyz names what is missing while it is away, and healthz stays', async () => {
  await using chassis = await startChassis(servers.environment('telemetry', await provision('killed')));
  await becomes(chassis, 200, []);
  await servers.killNats();
  await becomes(chassis, 503, ['nats']);
  await postgres.child.kill();
  await becomes(chassis, 503, ['postgres', 'nats']);
  assert.equal((await fetch(`${chassis.url}/healthz`)).status, 200);
  await servers.reviveNats();
  await becomes(chassis, 503, ['postgres']);
  postgres = await startPostgres(postgres.port);
  await becomes(chassis, 200, []);
});

test('a service starts while NATS and Postgres are absent and is at work when they come', async () => {
  const database = await provision('absent');
  const headers = await servers.addOperator('readonly');
  await servers.killNats();
  await postgres[Symbol.asyncDispose]();
  await using chassis = await startChassis(servers.environment('telemetry', database), (app) =>
    app.get('/v1/host', { config: { access: 'readonly' } }, () => ({})),
  );
  assert.deepEqual(await readiness(chassis), { status: 503, missing: ['postgres', 'nats'] });
  // Nothing is known of operators yet: that is no 401.
  assert.equal((await fetch(`${chassis.url}/v1/host`, { headers })).status, 503);
  postgres = await startPostgres(postgres.port);
  await becomes(chassis, 503, ['nats']);
  await servers.reviveNats();
  await becomes(chassis, 200, []);
  await until(async () => (await fetch(`${chassis.url}/v1/host`, { headers })).status === 200);
  const data = { host: 'absent', site: 'paris' };
  await chassis.db.transaction((tx) => publishEvent(tx, hostUp, data, { traceId: '0'.repeat(32) }));
  await until(async () => (await servers.eventsOf(hostUp)).some((event) => event.data.host === 'absent'));
});

test('a service that found neither NATS nor Postgres can be stopped', async () => {
  const database = await provision('stopped');
  await servers.killNats();
  await postgres[Symbol.asyncDispose]();
  const chassis = await startChassis(servers.environment('telemetry', database));
  assert.equal((await readiness(chassis)).status, 503);
  await chassis[Symbol.asyncDispose]();
  await assert.rejects(fetch(`${chassis.url}/healthz`));
  postgres = await startPostgres(postgres.port);
  await servers.reviveNats();
});

test('a service can be stopped after it lost NATS and Postgres', async () => {
  const chassis = await startChassis(servers.environment('telemetry', await provision('lost')));
  await becomes(chassis, 200, []);
  await servers.killNats();
  await postgres.child.kill();
  await becomes(chassis, 503, ['postgres', 'nats']);
  await chassis[Symbol.asyncDispose]();
  await assert.rejects(fetch(`${chassis.url}/healthz`));
  postgres = await startPostgres(postgres.port);
  await servers.reviveNats();
});

test('what needs Postgres is unavailable while it is away, and works on the same service after', async () => {
  await using chassis = await startChassis(servers.environment('telemetry', await provision('away')), (app) =>
    app.get('/none', { config: { access: 'public' } }, () => ({})),
  );
  await becomes(chassis, 200, []);
  await postgres.child.kill();
  const ask = () => chassis.db.transaction((tx) => tx.selectFrom('effect').selectAll().execute());
  await assert.rejects(ask(), { name: 'FleetError', code: 'unavailable' });
  postgres = await startPostgres(postgres.port);
  await until(async () => (await ask()).length === 0);
});
