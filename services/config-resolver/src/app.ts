import {
  createApp,
  type Health,
  type HttpApp,
  type Logger,
  type Operators,
  type ServiceMetrics,
} from '@nixfleet/service';
import { addRevisionRoutes, type RevisionRoutesDeps } from './routes/revisions.ts';

export interface AppDeps extends RevisionRoutesDeps {
  readonly log: Logger;
  readonly health: Health;
  readonly metrics: ServiceMetrics;
  readonly operators: Pick<Operators, 'authorise'>;
}

export async function buildApp(deps: AppDeps): Promise<HttpApp> {
  const app = await createApp({
    ...deps,
    name: 'config-resolver',
    description: 'Fleet definitions become host closures.',
  });
  addRevisionRoutes(app, deps);
  return app;
}
