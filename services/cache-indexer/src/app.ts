import type { SecretKey } from '@nixfleet/nix';
import { createApp, type Foundation, type HttpApp, type ServiceMetrics } from '@nixfleet/service';
import type { CacheMetrics } from './metrics.ts';
import { registerClosures } from './routes/closures.ts';
import { registerNarInfos } from './routes/narinfos.ts';
import { registerNars } from './routes/nars.ts';
import type { NarStorage } from './storage/nar-storage.ts';
import type { CacheTables } from './store/tables.ts';

export interface AppDeps extends Omit<Foundation<CacheTables>, 'metrics'> {
  readonly storage: NarStorage;
  readonly keys: readonly SecretKey[];
  readonly serviceMetrics: ServiceMetrics;
  readonly metrics: CacheMetrics;
  readonly maxUploadBytes: number;
}

/** A closure of many gigabytes over a thin line: the time from an upload's first byte to its last. */
const uploadTimeoutMs = 6 * 3_600_000;

export async function buildApp(deps: AppDeps): Promise<HttpApp> {
  const app = await createApp({
    ...deps,
    metrics: deps.serviceMetrics,
    name: 'cache-indexer',
    description: 'Signed Nix binary cache of the fleet, uploads and closures',
  });
  app.server.requestTimeout = uploadTimeoutMs;
  // A failure must not outlive its cause in some proxy between a host and its cache.
  app.addHook('onSend', async (_, reply) => {
    if (reply.statusCode >= 400) reply.header('cache-control', 'no-store');
  });
  registerNarInfos(app, deps);
  registerNars(app, deps);
  registerClosures(app, deps);
  return app;
}
