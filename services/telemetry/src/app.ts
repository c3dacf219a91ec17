import { createApp, type Foundation, type HttpApp } from '@nixfleet/service';
import type { PingKind } from './core/pings.ts';
import type { MicroBatcher } from './micro-batcher.ts';
import type { PingResult, ReceivedPing } from './ping-writer.ts';
import { addHealthRoutes } from './routes/health.ts';
import { addPingRoutes } from './routes/pings.ts';
import type { TelemetryTables } from './store/tables.ts';

export interface AppDeps extends Foundation<TelemetryTables> {
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
