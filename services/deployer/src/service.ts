import { setTimeout as sleep } from 'node:timers/promises';
import { RolloutsClient } from '@nixfleet/schema/grpc';
import {
  asRunning,
  listen,
  listenGrpc,
  openFoundation,
  type RunningService,
  startBatchSubscription,
  startSubscription,
} from '@nixfleet/service';
import { buildApp } from './app.ts';
import { publishOperators, readBootstrapOperators } from './bootstrap.ts';
import type { DeployerConfig } from './config.ts';
import { startIntentPurger } from './intent-purger.ts';
import { createDeployerMetrics } from './metrics.ts';
import { up as initial } from './migrations/0001-initial.ts';
import { Reconciler } from './reconciler.ts';
import { rolloutHandlers } from './rollout-watch.ts';
import { StatementCache } from './statements.ts';
import type { DeployerTables } from './store/tables.ts';
import { onAgentReports } from './subscriptions/agent-reports.ts';
import { onClosureBuilt } from './subscriptions/closure-built.ts';
import { onHostResolved } from './subscriptions/host-resolved.ts';
import { onRevisionResolved } from './subscriptions/revision-resolved.ts';

export const migrations = { '0001-initial': { up: initial } };

/** The deployer, put together: read it from top to bottom; it is taken down from bottom to top. */
export async function startDeployer(
  config: DeployerConfig,
): Promise<RunningService & { readonly url: string; readonly grpcAddress: string }> {
  await using stack = new AsyncDisposableStack();
  const base = openFoundation<DeployerTables>(stack, { name: 'deployer', service: 'deployer', config, migrations });
  const { db, bus, log, operators } = base;
  const own = createDeployerMetrics(base.metrics);
  const bootstrap = await readBootstrapOperators(config.bootstrapOperatorsFile);
  stack.use(startIntentPurger({ db, bus, log }));

  const stop = new AbortController();
  const reconciler = new Reconciler({
    db,
    log,
    statements: new StatementCache(),
    cacheUrls: config.cacheUrls,
    onRound: (seconds, open) => {
      own.reconcileDuration.observe(seconds);
      own.openRollouts.set(open);
    },
  });
  const background = [
    db.ready.then(() => reconciler.run(stop.signal)),
    keepOperatorsPublished(
      () => publishOperators(db, bus, bootstrap),
      (error) => log.warn({ err: error }, 'the operators could not be published, trying again'),
      stop.signal,
    ),
  ];
  stack.defer(async () => {
    stop.abort();
    reconciler.wake();
    await Promise.allSettled(background);
  });

  const deps = { service: 'deployer', ...base } as const;
  stack.use(startSubscription(deps, onRevisionResolved));
  stack.use(startSubscription(deps, onHostResolved));
  stack.use(startSubscription(deps, onClosureBuilt));
  const onReports = (reports: readonly { step: string }[]): void => {
    for (const report of reports) own.reports.inc({ step: report.step });
    reconciler.wake();
  };
  stack.use(startBatchSubscription(deps, onAgentReports({ db, onReports })));

  const app = await buildApp({ ...base, releaseKeys: config.releaseKeys, wake: () => reconciler.wake() });
  const server = stack.use(await listen(app, config.httpHost, config.httpPort));
  log.info({ url: server.url }, 'listening');
  const rollouts = rolloutHandlers({ db, log, operators, signal: stop.signal });
  const grpc = stack.use(
    await listenGrpc({
      host: config.httpHost,
      port: config.grpcPort,
      log,
      services: [[RolloutsClient.service, rollouts]],
    }),
  );
  // Streams under way hold the server open: they end first.
  stack.defer(() => stop.abort());
  return asRunning(stack, base, config, { url: server.url, grpcAddress: grpc.address });
}

/** Tries until the operators are in the bucket: at start-up Postgres or NATS may be away. */
async function keepOperatorsPublished(
  publish: () => Promise<void>,
  onError: (error: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await publish();
      return;
    } catch (error) {
      onError(error);
      await sleep(1000, undefined, { signal }).catch(() => undefined);
    }
  }
}
