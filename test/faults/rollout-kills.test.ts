import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { until } from '@nixfleet/infra/testing';
import { agentPart, FaultBackend, infrastructureParts, serviceParts } from './fault-backend.ts';
import { holdFetching, holdHost, holdTable, hostIsIn, readActivations } from './holds.ts';
import { checkConverged, checkInvariants, readGenerations } from './invariants.ts';

/** First of its wave plan: the rollout stands with it. */
const canary = 'web-01';

let backend: FaultBackend;
before(async () => {
  backend = await FaultBackend.start();
});
after(async () => backend[Symbol.asyncDispose]());

async function killWhenBack(name: string): Promise<void> {
  await backend.isBack(name);
  await backend.kill(name);
}

/** A rollout during which a part dies five times, each time in another step that is held until it is dead. */
async function rollOutKilling(name: string): Promise<void> {
  const generations = await readGenerations(backend);
  const release = await backend.release(`${name} dies in every step`);
  const target = release.hosts.find(({ host }) => host === canary)?.toplevel;
  await using holds = new AsyncDisposableStack();
  const dispatching = holds.use(await holdTable(backend, 'deployer.attempt'));
  const rollout = await backend.startRollout(release);
  await dispatching.isWaitedFor();
  await killWhenBack(name);

  // The cache must run for it to be held.
  await backend.isBack('cache-indexer');
  const fetching = holds.use(await holdFetching(backend));
  await dispatching[Symbol.asyncDispose]();
  await hostIsIn(backend, canary, 'fetching');
  await killWhenBack(name);

  const activating = holds.use(await holdHost(backend, canary, 'activating'));
  await fetching[Symbol.asyncDispose]();
  await until(async () => (await readActivations(backend, canary)).at(-1) === target);
  await killWhenBack(name);

  const verifying = holds.use(await holdHost(backend, canary, 'verifying'));
  await activating[Symbol.asyncDispose]();
  await hostIsIn(backend, canary, 'verifying');
  await killWhenBack(name);

  await verifying[Symbol.asyncDispose]();
  const soaks = `SELECT 1 FROM deployer.rollout WHERE rollout = '${rollout}' AND soak_started_at IS NOT NULL`;
  await until(async () => (await backend.query(soaks)).length > 0);
  await killWhenBack(name);

  const end = await backend.ended(rollout);
  assert.deepEqual([end.state, end.reason], ['completed', 'every host converged'], JSON.stringify(end.targets));
  await checkConverged(backend, release, generations);
  await checkInvariants(backend);
}

for (const name of [...serviceParts, ...infrastructureParts, agentPart(canary)])
  test(`${name} dies before dispatch, while a host fetches, activates and verifies, and while a wave soaks: the rollout ends as without`, () =>
    rollOutKilling(name));
