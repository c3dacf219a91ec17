import {
  createApp,
  type Database,
  type DeadLetters,
  type Health,
  type HttpApp,
  type Logger,
  type Operators,
  type ServiceMetrics,
} from '@nixfleet/service';
import type { PingKind } from './core/pings.ts';
import type { MicroBatcher } from './micro-batcher.ts';
import type { PingResult, ReceivedPing } from './ping-writer.ts';
import { addHealthRoutes } from './routes/health.ts';
import { addPingRoutes } from './routes/pings.ts';
import type { TelemetryTables } from './store/tables.ts';

export interface AppDeps {
  readonly db: Database<TelemetryTables>;
  readonly log: Logger;
  readonly health: Health;
  readonly metrics: ServiceMetrics;
  readonly operators: Pick<Operators, 'authorise'>;
  readonly deadLetters: DeadLetters;
  readonly pings: MicroBatcher<ReceivedPing, PingResult>;
  readonly publicUrl: () => string;
  readonly onPing: (kind: PingKind) => void;
}

export async function buildApp(deps: AppDeps): Promise<HttpApp> {
  const app = await createApp({ ...deps, name: 'telemetry', description: 'Health of hosts and of their backups.' });
  addPingRoutes(app, deps.pings, deps.onPing);
  addHealthRoutes(app, deps);
  return app;
}
