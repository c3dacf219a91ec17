import {
  Bus,
  createLogger,
  createMetrics,
  Database,
  DeadLetters,
  Health,
  listen,
  Operators,
  type RunningService,
  startOutboxRelay,
  startSubscription,
} from '@nixfleet/service';
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
  const log = createLogger('telemetry', config.logLevel);
  const health = new Health();
  const metrics = createMetrics('telemetry');
  const own = createTelemetryMetrics(metrics);

  const db = stack.use(
    new Database<TelemetryTables>({ url: config.postgresUrl, schema: 'telemetry', migrations, log, health }),
  );
  const bus = stack.use(
    new Bus({ url: config.natsUrl, credsFile: config.natsCredsFile, name: 'telemetry', log, health }),
  );
  const operators = stack.use(new Operators(bus, log));
  stack.use(startOutboxRelay({ db, bus, log, metrics }));
  const deadLetters = new DeadLetters('telemetry', bus);
  stack.use(startSubscription({ service: 'telemetry', bus, db, log, metrics, deadLetters }, onHostResolved));
  stack.use(
    startHeartbeats({ db, bus, log, onHeartbeats: (outcome, count) => own.heartbeats.inc({ outcome }, count) }),
  );
  stack.use(startSweeper({ db, bus, log }));
  const pings = stack.use(createPingWriter(db));

  let listeningUrl = '';
  const publicUrl = (): string => (config.publicUrl === '' ? listeningUrl : config.publicUrl.replace(/\/+$/, ''));
  const app = await buildApp({
    db,
    log,
    health,
    metrics,
    operators,
    deadLetters,
    pings,
    publicUrl,
    onPing: (kind) => own.pings.inc({ kind }),
  });
  const server = stack.use(await listen(app, config.httpHost, config.httpPort));
  listeningUrl = server.url;
  log.info({ url: server.url }, 'listening');
  const running = stack.move();
  return {
    health,
    log,
    shutdownTimeoutMs: config.shutdownTimeoutMs,
    url: server.url,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
