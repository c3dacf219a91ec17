import assert from 'node:assert/strict';
import { type TestDatabase, type TestServers, until } from '@nixfleet/infra/testing';
import { type BackupDetail, type DeclaredJob, hostResolved } from '@nixfleet/schema';
import { createLogger, Database, Health, Secret } from '@nixfleet/service';
import { readConfig } from '../src/config.ts';
import { migrations, startTelemetry } from '../src/service.ts';

/** A running telemetry with its own database. */
export interface TestTelemetry extends AsyncDisposable {
  readonly url: string;
  readonly database: TestDatabase;
  readonly get: <T>(path: string) => Promise<T>;
  /** Declares a host with its jobs, as the resolver does, and waits until they are known. */
  readonly declare: (host: string, jobs: readonly Partial<DeclaredJob>[]) => Promise<void>;
  /** The detail of a job. */
  readonly backup: (host: string, job: string) => Promise<BackupDetail>;
}

const job = (more: Partial<DeclaredJob>): DeclaredJob => ({
  kind: 'backup',
  name: 'files',
  schedule: 'daily',
  randomizedDelaySeconds: 0,
  timeZone: 'UTC',
  ...more,
});

export const createTelemetryDatabase = (servers: TestServers): Promise<TestDatabase> =>
  servers.createDatabase({
    service: 'telemetry',
    migrations,
    migrate: async (url) => {
      const options = { url: new Secret(url), schema: 'telemetry', migrations, health: new Health() };
      await using db = new Database({ ...options, log: createLogger('test', 'fatal') });
      await db.ready;
    },
  });

export async function startTestTelemetry(servers: TestServers): Promise<TestTelemetry> {
  await using starting = new AsyncDisposableStack();
  const database = starting.use(await createTelemetryDatabase(servers));
  const service = starting.use(await startTelemetry(readConfig(servers.environment('telemetry', database))));
  const headers = await servers.addOperator('deploy');
  await until(() => service.health.ready);
  await until(async () => (await fetch(`${service.url}/v1/hosts`, { headers })).status === 200);
  const get = async <T>(path: string): Promise<T> => {
    const response = await fetch(`${service.url}${path}`, { headers });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return JSON.parse(text) as T;
  };
  const running = starting.move();
  return {
    url: service.url,
    database,
    get,
    backup: (host, name) => get<BackupDetail>(`/v1/backups/${host}/${name}`),
    declare: async (host, jobs) => {
      const digest = '0'.repeat(64);
      await servers.publishEvent(hostResolved, {
        revision: digest,
        fleet: 'acme',
        host,
        site: 'paris',
        platform: 'x86_64-linux',
        tags: [],
        configDigest: digest,
        toplevel: `/nix/store/${'0'.repeat(32)}-nixos-system-${host}`,
        jobs: jobs.map(job),
      });
      const wanted = jobs.map((each) => job(each).name).sort();
      const names = async (): Promise<string[]> => {
        const { backups } = await get<{ backups: { host: string; job: string }[] }>('/v1/backups?limit=1000');
        return backups.filter((backup) => backup.host === host).map((backup) => backup.job);
      };
      await until(async () => (await names()).sort().join() === wanted.join());
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
