import type { ServiceName } from '@nixfleet/schema';
import { Bus } from './bus.ts';
import type { commonSettings, SettingsOf } from './config.ts';
import { Database, type DatabaseOptions } from './database.ts';
import { DeadLetters } from './dead-letters.ts';
import { Health } from './health.ts';
import { createLogger, type Logger } from './logger.ts';
import { createMetrics, type ServiceMetrics } from './metrics.ts';
import { Operators } from './operators.ts';
import { startOutboxRelay } from './outbox.ts';
import type { RunningService } from './run.ts';

/** What every service stands on. */
export interface Foundation<Tables> {
  readonly log: Logger;
  readonly health: Health;
  readonly metrics: ServiceMetrics;
  readonly db: Database<Tables>;
  readonly bus: Bus;
  readonly operators: Operators;
  readonly deadLetters: DeadLetters;
}

export interface FoundationOptions {
  /** The service's whole name, as its logs and connections show it. */
  readonly name: string;
  /** Its short one: schema, role, subjects. */
  readonly service: ServiceName;
  readonly config: SettingsOf<typeof commonSettings>;
  readonly migrations: DatabaseOptions['migrations'];
}

/** Opens it on the stack: nothing waits for NATS or Postgres, whose states /readyz tells. The outbox is relayed from here on. */
export function openFoundation<Tables>(
  stack: AsyncDisposableStack,
  { name, service, config, migrations }: FoundationOptions,
): Foundation<Tables> {
  const log = createLogger(name, config.logLevel);
  const health = new Health();
  const metrics = createMetrics(service);
  const db = stack.use(new Database<Tables>({ url: config.postgresUrl, schema: service, migrations, log, health }));
  const bus = stack.use(new Bus({ url: config.natsUrl, credsFile: config.natsCredsFile, name, log, health }));
  const operators = stack.use(new Operators(bus, log));
  stack.use(startOutboxRelay({ db, bus, log, metrics }));
  return { log, health, metrics, db, bus, operators, deadLetters: new DeadLetters(service, bus) };
}

/** What `start` returns: everything on the stack now ends with it. */
export function asRunning<Details extends object>(
  stack: AsyncDisposableStack,
  { log, health }: Pick<Foundation<unknown>, 'log' | 'health'>,
  { shutdownTimeoutMs }: Pick<SettingsOf<typeof commonSettings>, 'shutdownTimeoutMs'>,
  details: Details,
): RunningService & Details {
  const running = stack.move();
  return { ...details, health, log, shutdownTimeoutMs, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
