import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { findFreePort } from '@nixfleet/infra';
import { TestServers, until } from '@nixfleet/infra/testing';
import { type Heartbeat, type HostHealth, heartbeatSubject, hostDown, hostUp } from '@nixfleet/schema';
import { createTelemetryDatabase, startTestTelemetry, type TestTelemetry } from './stack.ts';

let servers: TestServers;
let telemetry: TestTelemetry;
before(async () => {
  servers = await TestServers.start();
  telemetry = await startTestTelemetry(servers);
});
after(async () => {
  await telemetry[Symbol.asyncDispose]();
  await servers[Symbol.asyncDispose]();
});

const heartbeat = (host: string, more: Partial<Heartbeat> = {}): Heartbeat => ({
  version: 1,
  host,
  site: 'paris',
  time: new Date().toISOString(),
  bootId: randomUUID(),
  agentVersion: '0.1.0',
  intervalSeconds: 3600,
  ...more,
});

/** Sends as the agent of `host` does, whatever the message says. */
async function send(host: string, message: unknown): Promise<void> {
  const nc = await servers.connection();
  nc.publish(heartbeatSubject('paris', host), typeof message === 'string' ? message : JSON.stringify(message));
  await nc.flush();
}

async function healthOf(host: string): Promise<HostHealth | undefined> {
  const { hosts } = await telemetry.get<{ hosts: HostHealth[] }>('/v1/hosts?limit=1000');
  return hosts.find((each) => each.host === host);
}

const timesUp = async (host: string): Promise<number> =>
  (await servers.eventsOf(hostUp)).filter((event) => event.data.host === host).length;
const timesDown = async (host: string): Promise<number> =>
  (await servers.eventsOf(hostDown)).filter((event) => event.data.host === host).length;

test('a declared host is new until its first heartbeat, which is announced once', async () => {
  await telemetry.declare('declared', [{ name: 'files' }]);
  assert.deepEqual(await healthOf('declared'), { host: 'declared', site: 'paris', state: 'new' });
  const toplevel = `/nix/store/${'1'.repeat(32)}-nixos-system-declared`;
  await send('declared', heartbeat('declared', { toplevel }));
  await until(async () => (await healthOf('declared'))?.state === 'up');
  const health = await healthOf('declared');
  assert.deepEqual([health?.agentVersion, health?.toplevel], ['0.1.0', toplevel]);
  await send('declared', heartbeat('declared', { agentVersion: '0.2.0' }));
  await until(async () => (await healthOf('declared'))?.agentVersion === '0.2.0');
  await until(async () => (await timesUp('declared')) > 0);
  assert.deepEqual([await timesUp('declared'), (await healthOf('declared'))?.toplevel], [1, toplevel]);
});

test('a host that falls silent goes late, then down, and comes up again with the next heartbeat', async () => {
  await send('silent', heartbeat('silent', { intervalSeconds: 1 }));
  for (const state of ['up', 'late', 'down']) await until(async () => (await healthOf('silent'))?.state === state);
  await until(async () => (await timesDown('silent')) === 1);
  await send('silent', heartbeat('silent'));
  await until(async () => (await healthOf('silent'))?.state === 'up');
  await until(async () => (await timesUp('silent')) === 2);
  assert.equal(await timesDown('silent'), 1);
});

test('a heartbeat that speaks for another host, or is none, changes nothing', async () => {
  await send('liar', heartbeat('victim'));
  await send('liar', 'no json');
  await send('liar', { ...heartbeat('liar'), intervalSeconds: 0 });
  await send('honest', heartbeat('honest'));
  await until(async () => (await healthOf('honest'))?.state === 'up');
  assert.deepEqual([await healthOf('victim'), await healthOf('liar')], [undefined, undefined]);
  const page = await (await fetch(`${telemetry.url}/metrics`)).text();
  assert.match(page, /nixfleet_telemetry_heartbeats_total\{outcome="refused"\} 3\n/);
});

test('our own outage makes nobody late', async () => {
  await send('patient', heartbeat('patient', { intervalSeconds: 1 }));
  await until(async () => (await healthOf('patient'))?.state === 'up');
  const downBefore = (await servers.eventsOf(hostDown)).length;
  await servers.killNats();
  await until(async () => (await fetch(`${telemetry.url}/readyz`)).status === 503);
  // The first round of the sweeper after this start of silence would judge it.
  await telemetry.get('/v1/hosts');
  await servers.reviveNats();
  await until(async () => (await fetch(`${telemetry.url}/readyz`)).status === 200);
  await send('patient', heartbeat('patient'));
  await until(async () => (await healthOf('patient'))?.state === 'up');
  assert.equal((await servers.eventsOf(hostDown)).length, downBefore);
});

interface Ended {
  readonly code: number | null;
  readonly errors: string;
}

function runMain(env: NodeJS.ProcessEnv): { readonly ended: Promise<Ended>; readonly stop: () => void } {
  const main = join(import.meta.dirname, '../src/main.ts');
  const child = spawn(process.execPath, [main], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (part: Buffer) => {
    errors += part.toString('utf8');
  });
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code) => resolve({ code, errors }));
  });
  return { ended, stop: () => child.kill('SIGTERM') };
}

test('the process ends with 2 and tells every wrong setting, without secrets', async () => {
  const { code, errors } = await runMain({ NIXFLEET_POSTGRES_URL: 'oracle://u:hunter2@h', NIXFLEET_HTTP_PORT: 'http' })
    .ended;
  assert.equal(code, 2);
  for (const name of ['POSTGRES_URL', 'NATS_URL', 'NATS_CREDS_FILE', 'HTTP_PORT'])
    assert.match(errors, new RegExp(`NIXFLEET_${name}`));
  assert.doesNotMatch(errors, /hunter2|\.ts:/);
});

test('SIGTERM ends the process in order', async () => {
  await using database = await createTelemetryDatabase(servers);
  const port = await findFreePort();
  const main = runMain({ ...servers.environment('telemetry', database), NIXFLEET_HTTP_PORT: String(port) });
  await until(async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).status === 200);
  main.stop();
  assert.deepEqual(await main.ended, { code: 0, errors: '' });
});
