import { join } from 'node:path';
import { TestServers, until } from '@nixfleet/infra/testing';
import { formatSecretKey, generateKeyPair, type SecretKey } from '@nixfleet/nix';
import type { OperatorRole } from '@nixfleet/schema';
import { createLogger, Database, Health, Secret } from '@nixfleet/service';
import { migrations } from '../src/migrations/index.ts';
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
  readonly servers: TestServers;
  readonly #headers: Readonly<Record<OperatorRole, { authorization: string }>>;
  #caches = 0;

  private constructor(servers: TestServers, headers: Readonly<Record<OperatorRole, { authorization: string }>>) {
    this.servers = servers;
    this.#headers = headers;
  }

  static async start(): Promise<TestStack> {
    const servers = await TestServers.start();
    return new TestStack(servers, {
      readonly: await servers.addOperator('readonly'),
      deploy: await servers.addOperator('deploy'),
      admin: await servers.addOperator('admin'),
    });
  }

  /** The Authorization header of an operator with that role. */
  authorization(role: OperatorRole): { authorization: string } {
    return this.#headers[role];
  }

  async startCache(more: NodeJS.ProcessEnv = {}): Promise<TestCache> {
    this.#caches += 1;
    await using starting = new AsyncDisposableStack();
    const database = starting.use(
      await this.servers.createDatabase({
        service: 'cache',
        migrations,
        migrate: async (url) => {
          const log = createLogger('test', 'fatal');
          await using db = new Database({
            url: new Secret(url),
            schema: 'cache',
            migrations,
            log,
            health: new Health(),
          });
          await db.ready;
        },
      }),
    );
    const key = generateKeyPair(`test-${this.#caches}`);
    const storageDir = join(this.servers.dir, `cache-${this.#caches}`);
    const service = starting.use(
      await startCacheIndexer({
        ...this.servers.environment('cache', database),
        NIXFLEET_CACHE_STORAGE_DIR: storageDir,
        NIXFLEET_CACHE_SECRET_KEYS: formatSecretKey(key),
        ...more,
      }),
    );
    await until(() => service.health.ready);
    await until(async () => {
      const answer = await fetch(`${service.url}/v1/closures/${'0'.repeat(32)}`, {
        headers: this.authorization('readonly'),
      });
      return answer.status === 200;
    });
    const running = starting.move();
    return {
      service,
      url: service.url,
      key,
      storageDir,
      databaseUrl: database.url,
      [Symbol.asyncDispose]: () => running.disposeAsync(),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.servers[Symbol.asyncDispose]();
  }
}
