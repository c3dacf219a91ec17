import type { PublicKey } from '@nixfleet/nix';
import { createApp, type Foundation, type HttpApp } from '@nixfleet/service';
import { addFleetRoutes } from './routes/fleet.ts';
import { addOperatorRoutes } from './routes/operators.ts';
import { addReleaseRoutes } from './routes/releases.ts';
import { addRolloutRoutes } from './routes/rollouts.ts';
import type { DeployerTables } from './store/tables.ts';

export interface AppDeps extends Foundation<DeployerTables> {
  readonly releaseKeys: readonly PublicKey[];
  readonly wake: () => void;
}

export async function buildApp(deps: AppDeps): Promise<HttpApp> {
  const app = await createApp({ ...deps, name: 'deployer', description: 'Releases, rollouts, hosts, operators.' });
  addReleaseRoutes(app, deps);
  addRolloutRoutes(app, deps);
  addFleetRoutes(app, deps.db);
  addOperatorRoutes(app, deps.db, deps.bus);
  return app;
}
