import { asRunning, listen, openFoundation, type RunningService } from '@nixfleet/service';
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
  await using stack = new AsyncDisposableStack();
  const storage = await NarStorage.open(config.cacheStorageDir, Date.now());
  const base = openFoundation<CacheTables>(stack, { name: 'cache-indexer', service: 'cache', config, migrations });
  const { health, log } = base;
  stack.use(watchStorage(storage, health));
  const metrics = createCacheMetrics(base.metrics.registry, () => storage.freeBytes());
  const app = await buildApp({
    ...base,
    storage,
    keys: config.cacheSecretKeys,
    serviceMetrics: base.metrics,
    metrics,
    maxUploadBytes: config.cacheMaxUploadBytes,
  });
  const server = stack.use(await listen(app, config.httpHost, config.httpPort));
  log.info({ url: server.url }, 'listening');
  return asRunning(stack, base, config, { url: server.url });
}
