import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createNatsIdentity,
  findNatsServer,
  issueCredentials,
  Nats,
  Postgres,
  servicePermissions,
} from '@nixfleet/infra';
import { formatSecretKey, generateKeyPair, type SecretKey } from '@nixfleet/nix';
import type { OperatorRole } from '@nixfleet/schema';
import { Bus, createLogger, Health, hashToken, putOperator } from '@nixfleet/service';
import { type CacheIndexer, startCacheIndexer } from '../src/service.ts';

/** A running cache-indexer with its own database and storage. */
export interface TestCache extends AsyncDisposable {
  readonly service: CacheIndexer;
  readonly url: string;
  readonly key: SecretKey;
  readonly storageDir: string;
  readonly databaseUrl: string;
}

/** Real servers for a test file; every test starts its own service on its own database. */
export class TestStack implements AsyncDisposable {
  readonly dir: string;
  readonly postgres: Postgres;
  readonly nats: Nats;
  /** A connection that may read events and write operators. */
  readonly bus: Bus;
  readonly #credsFile: string;
  readonly #tokens = new Map<OperatorRole, string>();
  readonly #resources: AsyncDisposableStack;
  #databases = 0;

  private constructor(dir: string, postgres: Postgres, nats: Nats, bus: Bus, resources: AsyncDisposableStack) {
    this.dir = dir;
    this.postgres = postgres;
    this.nats = nats;
    this.bus = bus;
    this.#credsFile = join(dir, 'cache.creds');
    this.#resources = resources;
  }

  static async start(): Promise<TestStack> {
    await using starting = new AsyncDisposableStack();
    const dir = await mkdtemp(join(tmpdir(), 'nixfleet-cache-'));
    starting.defer(() => rm(dir, { recursive: true, force: true }));
    const identity = await createNatsIdentity('acme');
    const binary = await findNatsServer(join(dir, 'tools'));
    const nats = starting.use(
      await Nats.start({ binary, dir: join(dir, 'nats'), identity, logFile: join(dir, 'nats.log') }),
    );
    const postgres = starting.use(
      await Postgres.start({ dataDir: join(dir, 'postgres/data'), logFile: join(dir, 'postgres.log') }),
    );
    for (const service of ['cache', 'deployer'] as const)
      await writeFile(
        join(dir, `${service}.creds`),
        await issueCredentials(identity, service, servicePermissions(service)),
        { mode: 0o600 },
      );
    const log = createLogger('test', 'fatal');
    const health = new Health();
    const bus = starting.use(
      new Bus({ url: nats.url, credsFile: join(dir, 'deployer.creds'), name: 'test', log, health }),
    );
    const stack = new TestStack(dir, postgres, nats, bus, starting.move());
    for (const role of ['readonly', 'deploy'] as const) {
      const token = randomBytes(24).toString('hex');
      stack.#tokens.set(role, token);
      await putOperator(bus, hashToken(token), { name: role, role });
    }
    return stack;
  }

  /** The Authorization header of an operator with that role. */
  authorization(role: OperatorRole): Record<string, string> {
    return { authorization: `Bearer ${this.#tokens.get(role) ?? ''}` };
  }

  async startCache(more: NodeJS.ProcessEnv = {}): Promise<TestCache> {
    this.#databases += 1;
    const database = `test_${this.#databases}`;
    await this.postgres.provision(database, [{ role: 'cache', password: 'cache', schema: 'cache' }]);
    const key = generateKeyPair(`test-${this.#databases}`);
    const storageDir = join(this.dir, database);
    const databaseUrl = this.postgres.url(database, { name: 'cache', password: 'cache' });
    const service = await startCacheIndexer({
      NIXFLEET_POSTGRES_URL: databaseUrl,
      NIXFLEET_NATS_URL: this.nats.url,
      NIXFLEET_NATS_CREDS_FILE: this.#credsFile,
      NIXFLEET_HTTP_PORT: '0',
      NIXFLEET_LOG_LEVEL: 'fatal',
      NIXFLEET_CACHE_STORAGE_DIR: storageDir,
      NIXFLEET_CACHE_SECRET_KEYS: formatSecretKey(key),
      ...more,
    });
    await until(() => service.health.ready);
    await until(async () => {
      const answer = await fetch(`${service.url}/v1/closures/${'0'.repeat(32)}`, {
        headers: this.authorization('readonly'),
      });
      return answer.status === 200;
    });
    return {
      service,
      url: service.url,
      key,
      storageDir,
      databaseUrl,
      [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

const untilTimeoutMs = 15_000;

/** Waits until it is so; fails after 15 s. */
export async function until(probe: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpMs = Date.now() + untilTimeoutMs;
  while (!(await probe())) {
    if (Date.now() > giveUpMs) throw new Error(`still not so after ${untilTimeoutMs} ms: ${probe.toString()}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}
