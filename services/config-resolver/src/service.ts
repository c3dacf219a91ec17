import { asRunning, listen, openFoundation, type RunningService } from '@nixfleet/service';
import { buildApp } from './app.ts';
import { Builder } from './builder.ts';
import { CacheUploader } from './cache-uploader.ts';
import type { ResolverConfig } from './config.ts';
import { createResolverMetrics } from './metrics.ts';
import { up as initial } from './migrations/0001-initial.ts';
import type { ResolverTables } from './store/tables.ts';

export const migrations = { '0001-initial': { up: initial } };

/** Config-resolver, put together: read it from top to bottom; it is taken down from bottom to top. */
export async function startResolver(config: ResolverConfig): Promise<RunningService & { readonly url: string }> {
  await using stack = new AsyncDisposableStack();
  const base = openFoundation<ResolverTables>(stack, {
    name: 'config-resolver',
    service: 'resolver',
    config,
    migrations,
  });
  const { db, log } = base;
  const own = createResolverMetrics(base.metrics);

  const uploader = new CacheUploader({ url: config.cacheUrl, token: config.cacheToken });
  const builder = new Builder({ db, log, uploader, onBuilt: (hosts) => own.closures.inc(hosts) });
  stack.use(startBuilder(builder));

  const onResolved = builder.submit.bind(builder);
  const app = await buildApp({ ...base, own, onResolved });
  const server = stack.use(await listen(app, config.httpHost, config.httpPort));
  log.info({ url: server.url }, 'listening');
  return asRunning(stack, base, config, { url: server.url });
}

/** Runs the builder until it is disposed of; an upload under way is given up, another start finds it. */
function startBuilder(builder: Builder): AsyncDisposable {
  const stop = new AbortController();
  const running = builder.run(stop.signal);
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}
