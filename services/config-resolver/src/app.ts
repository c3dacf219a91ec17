import { createApp, type Foundation, type HttpApp } from '@nixfleet/service';
import { addRevisionRoutes, type RevisionRoutesDeps } from './routes/revisions.ts';
import type { ResolverTables } from './store/tables.ts';

export type AppDeps = RevisionRoutesDeps & Foundation<ResolverTables>;

export async function buildApp(deps: AppDeps): Promise<HttpApp> {
  const app = await createApp({
    ...deps,
    name: 'config-resolver',
    description: 'Fleet definitions become host closures.',
  });
  addRevisionRoutes(app, deps);
  return app;
}
