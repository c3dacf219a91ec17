import { setTimeout as sleep } from 'node:timers/promises';
import type { Database, Logger } from '@nixfleet/service';
import { type ApplyDeps, applyAction } from './apply.ts';
import { reconcile } from './core/reconcile.ts';
import { claimRollout, selectOpenRollouts, selectSnapshot } from './store/rollouts.ts';
import type { DeployerTables } from './store/tables.ts';

export interface ReconcilerDeps extends ApplyDeps {
  readonly db: Database<DeployerTables>;
  readonly log: Logger;
  readonly onRound: (durationSeconds: number, openRollouts: number) => void;
}

/** Rounds follow each other at least this far apart: reports come in batches, one round serves many of them. */
const minRoundGapMs = 50;
/** After a long round the pause is longer: looking at thousands of hosts may not take the processor from their reports. */
const gapPerRoundDuration = 3;
/** Without any news time-outs and soaks still move on. */
const idleRoundMs = 1000;
const afterErrorMs = 1000;

/** One rollout, one transaction: claim it, look, decide, apply. Skips it when another deployer has it. */
async function reconcileRollout(deps: ReconcilerDeps, id: string): Promise<boolean> {
  return deps.db.transaction(async (tx) => {
    const rollout = await claimRollout(tx, id);
    if (rollout === undefined) return false;
    const actions = reconcile(await selectSnapshot(tx, rollout), Date.now());
    for (const action of actions) await applyAction(tx, rollout, action, deps);
    return actions.length > 0;
  });
}

/**
 * Moves every open rollout on until the signal. `wake` starts a round at once. Two deployers share the work by row
 * locks; what one decides it applies in the same transaction.
 */
export class Reconciler {
  readonly #deps: ReconcilerDeps;
  #wake = Promise.withResolvers<void>();
  #gapMs = minRoundGapMs;

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps;
  }

  wake(): void {
    this.#wake.resolve();
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const waitMs = await this.#round().catch((error: unknown) => {
        this.#deps.log.error({ err: error }, 'a round of the reconciler failed, trying again');
        return afterErrorMs;
      });
      await this.#rest(waitMs, signal);
    }
  }

  /** Returns how long to rest at most before the next round, in ms. */
  async #round(): Promise<number> {
    const startedMs = performance.now();
    this.#wake = Promise.withResolvers<void>();
    const open = await this.#deps.db.transaction(selectOpenRollouts);
    let acted = false;
    for (const id of open) acted = (await reconcileRollout(this.#deps, id)) || acted;
    const tookMs = performance.now() - startedMs;
    this.#deps.onRound(tookMs / 1000, open.length);
    // What was decided is followed up at once; news of hosts can wait until there is more of it.
    this.#gapMs = acted ? minRoundGapMs : Math.max(minRoundGapMs, tookMs * gapPerRoundDuration);
    return acted ? minRoundGapMs : idleRoundMs;
  }

  async #rest(maxMs: number, signal: AbortSignal): Promise<void> {
    const stopWaiting = new AbortController();
    const either = AbortSignal.any([signal, stopWaiting.signal]);
    await Promise.race([this.#wake.promise, sleep(maxMs, undefined, { signal: either }).catch(() => undefined)]);
    stopWaiting.abort();
    if (!signal.aborted) await sleep(this.#gapMs, undefined, { signal }).catch(() => undefined);
  }
}
