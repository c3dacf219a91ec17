import { asRunning, listen, openFoundation, type RunningService, startSubscription } from '@nixfleet/service';
import { buildApp } from './app.ts';
import type { TelemetryConfig } from './config.ts';
import { createTelemetryMetrics } from './metrics.ts';
import { up as initial } from './migrations/0001-initial.ts';
import { createPingWriter } from './ping-writer.ts';
import type { TelemetryTables } from './store/tables.ts';
import { startHeartbeats } from './subscriptions/heartbeats.ts';
import { onHostResolved } from './subscriptions/host-resolved.ts';
import { startSweeper } from './sweeper.ts';

export const migrations = { '0001-initial': { up: initial } };

/** Telemetry, put together: read it from top to bottom; it is taken down from bottom to top. */
export async function startTelemetry(config: TelemetryConfig): Promise<RunningService & { readonly url: string }> {
  await using stack = new AsyncDisposableStack();
  const base = openFoundation<TelemetryTables>(stack, { name: 'telemetry', service: 'telemetry', config, migrations });
  const { db, bus, log } = base;
  const own = createTelemetryMetrics(base.metrics);

  stack.use(startSubscription({ service: 'telemetry', ...base }, onHostResolved));
  stack.use(
    startHeartbeats({ db, bus, log, onHeartbeats: (outcome, count) => own.heartbeats.inc({ outcome }, count) }),
  );
  stack.use(startSweeper({ db, bus, log }));
  const pings = stack.use(createPingWriter(db));

  let listeningUrl = '';
  const publicUrl = (): string => (config.publicUrl === '' ? listeningUrl : config.publicUrl.replace(/\/+$/, ''));
  const app = await buildApp({ ...base, pings, publicUrl, onPing: (kind) => own.pings.inc({ kind }) });
  const server = stack.use(await listen(app, config.httpHost, config.httpPort));
  listeningUrl = server.url;
  log.info({ url: server.url }, 'listening');
  return asRunning(stack, base, config, { url: server.url });
}
