import { setTimeout as sleep } from 'node:timers/promises';
import { FleetError, type RolloutSummary } from '@nixfleet/schema';
import type { RolloutProgress, RolloutsHandlers } from '@nixfleet/schema/grpc';
import { type Database, type Logger, type Operators, streamHandler } from '@nixfleet/service';
import { findRollout, selectRolloutSummary } from './store/rollouts.ts';
import type { DeployerTables } from './store/tables.ts';

export interface RolloutWatchDeps {
  readonly db: Database<DeployerTables>;
  readonly log: Logger;
  readonly operators: Pick<Operators, 'authorise'>;
  readonly signal: AbortSignal;
}

/** Between two looks: a change that another instance made is seen as soon as one of our own. */
const lookMs = 250;

const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0);

/** What a watcher is told of a rollout: counts, never the hosts themselves. */
export const toProgress = (rollout: RolloutSummary): RolloutProgress => ({
  rollout: rollout.rollout,
  release: rollout.release,
  channel: rollout.channel,
  state: rollout.state,
  reason: rollout.reason ?? '',
  currentWave: rollout.currentWave,
  waveCount: rollout.waveCount,
  waves: rollout.waves.map(({ wave, counts }) => ({
    wave,
    hosts: sum(counts),
    converged: counts.converged,
    failed: counts.failed,
    unreachable: counts.unreachable,
  })),
  over: rollout.state !== 'running' && !rollout.revertPending,
});

/** `nixfleet.deployer.v1.Rollouts`. */
export function rolloutHandlers({ db, log, operators, signal }: RolloutWatchDeps): RolloutsHandlers {
  return {
    Watch: streamHandler(
      { operators, log, signal },
      'readonly',
      async function* ({ rollout: id }: { rollout: string }, _operator, ended): AsyncGenerator<RolloutProgress> {
        if (!/^[0-9a-f-]{8,36}$/.test(id))
          throw new FleetError('invalid_input', `${JSON.stringify(id)} is no id of a rollout, nor 8 characters of one`);
        let told = '';
        while (!ended.aborted) {
          const progress = toProgress(
            await db.transaction(async (tx) => selectRolloutSummary(tx, await findRollout(tx, id))),
          );
          const text = JSON.stringify(progress);
          if (text !== told) yield progress;
          told = text;
          if (progress.over) return;
          await sleep(lookMs, undefined, { signal: ended }).catch(() => undefined);
        }
      },
    ),
  };
}
