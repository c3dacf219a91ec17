import {
  Bus,
  createLogger,
  createMetrics,
  Database,
  Health,
  listen,
  Operators,
  type RunningService,
  startOutboxRelay,
} from '@nixfleet/service';
import { buildApp } from './app.ts';
import { readConfig } from './config.ts';
import { createCacheMetrics } from './metrics.ts';
import { migrations } from './migrations/index.ts';
import { NarStorage } from './storage/nar-storage.ts';
import { watchStorage } from './storage/watch.ts';
import type { CacheTables } from './store/tables.ts';

export interface CacheIndexer extends RunningService {
  /** Where it listens. */
  readonly url: string;
}

/** Everything that cache-indexer is made of. What is started here is stopped in reverse order, also when a start fails. */
export async function startCacheIndexer(env: NodeJS.ProcessEnv): Promise<CacheIndexer> {
  const config = readConfig(env);
  const log = createLogger('cache-indexer', config.logLevel);
  const health = new Health();
  const serviceMetrics = createMetrics('cache');
  await using stack = new AsyncDisposableStack();
  const storage = await NarStorage.open(config.cacheStorageDir, Date.now());
  stack.use(watchStorage(storage, health));
  const metrics = createCacheMetrics(serviceMetrics.registry, () => storage.freeBytes());
  const bus = stack.use(
    new Bus({ url: config.natsUrl, credsFile: config.natsCredsFile, name: 'cache-indexer', log, health }),
  );
  const db = stack.use(
    new Database<CacheTables>({ url: config.postgresUrl, schema: 'cache', migrations, log, health }),
  );
  stack.use(startOutboxRelay({ db, bus, log, metrics: serviceMetrics }));
  const operators = stack.use(new Operators(bus, log));
  const app = await buildApp({
    db,
    storage,
    keys: config.cacheSecretKeys,
    operators,
    health,
    log,
    serviceMetrics,
    metrics,
    maxUploadBytes: config.cacheMaxUploadBytes,
  });
  const server = stack.use(await listen(app, config.httpHost, config.httpPort));
  log.info({ url: server.url }, 'cache-indexer listens');
  const running = stack.move();
  return {
    url: server.url,
    health,
    log,
    shutdownTimeoutMs: config.shutdownTimeoutMs,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
