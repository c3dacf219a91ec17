import type { AttemptReason, RolloutPolicy, RolloutState } from '@nixfleet/schema';
import { shareOf } from './plan.ts';

/**
 * The only place that decides what a rollout does next. Pure: time is an argument, the caller loads the snapshot and
 * applies the actions in the same transaction, so a budget can't be exceeded between decision and dispatch.
 */

/** queued → inFlight → one of the rest. `unreachable`: it never answered, so it neither passed nor failed. */
export type TargetState = 'queued' | 'inFlight' | 'converged' | 'failed' | 'unreachable';

export interface TargetSnapshot {
  readonly host: string;
  readonly state: TargetState;
  readonly dispatchedAtMs?: number;
  /** The agent has answered the intent with at least one report. */
  readonly answered: boolean;
  readonly reason?: AttemptReason;
  /** A return to the last confirmed closure was sent for it. */
  readonly returnSent: boolean;
}

export interface RolloutSnapshot {
  readonly state: RolloutState;
  /** The rollout has failed and hosts of its failed wave are still to be returned. */
  readonly revertPending: boolean;
  readonly policy: RolloutPolicy;
  readonly currentWave: number;
  readonly waveCount: number;
  /** When every host of the current wave had converged; absent while one has not. */
  readonly soakStartedAtMs?: number;
  /** Failures that a person saw and resumed over. */
  readonly acceptedFailures: number;
  /** Targets of the current wave. */
  readonly targets: readonly TargetSnapshot[];
}

export type Action =
  | { readonly kind: 'dispatch'; readonly hosts: readonly string[] }
  | { readonly kind: 'expire'; readonly hosts: readonly string[]; readonly to: 'failed' | 'unreachable' }
  | { readonly kind: 'return'; readonly hosts: readonly string[] }
  | { readonly kind: 'soak' }
  | { readonly kind: 'advance'; readonly wave: number }
  | { readonly kind: 'finish-revert' }
  | { readonly kind: 'enter'; readonly state: RolloutState; readonly reason: string; readonly revert: boolean };

/**
 * Hosts that one decision dispatches: their intents leave while the next ones are being made, and no transaction grows
 * with the fleet.
 */
export const hostsPerDispatch = 1000;

const hostsIn = (targets: readonly TargetSnapshot[], state: TargetState): string[] =>
  targets.filter((t) => t.state === state).map((t) => t.host);

/** Hosts whose time is over: those that answered have failed, the silent ones are unreachable. */
function expired(snapshot: RolloutSnapshot, nowMs: number): { failed: string[]; unreachable: string[] } {
  const deadlineMs = snapshot.policy.healthTimeoutSeconds * 1000;
  const overdue = snapshot.targets.filter(
    (t) => t.state === 'inFlight' && t.dispatchedAtMs !== undefined && nowMs - t.dispatchedAtMs >= deadlineMs,
  );
  return {
    failed: overdue.filter((t) => t.answered).map((t) => t.host),
    unreachable: overdue.filter((t) => !t.answered).map((t) => t.host),
  };
}

/** Names at most three hosts of a list. */
const naming = (hosts: readonly string[]): string =>
  `${hosts.slice(0, 3).join(', ')}${hosts.length > 3 ? ` and ${hosts.length - 3} more` : ''}`;

function onFailure(snapshot: RolloutSnapshot, failed: readonly string[]): Action {
  const wave = `wave ${snapshot.currentWave + 1} of ${snapshot.waveCount}`;
  const reasons = new Set(
    snapshot.targets.flatMap((t) => (t.state === 'failed' && t.reason !== undefined ? [t.reason] : [])),
  );
  const why = `${failed.length} of ${snapshot.targets.length} hosts failed in ${wave}: ${naming(failed)}${reasons.size > 0 ? ` (${[...reasons].join(', ')})` : ''}`;
  switch (snapshot.policy.onFailure) {
    case 'pause':
      return { kind: 'enter', state: 'paused', reason: why, revert: false };
    case 'halt':
      return { kind: 'enter', state: 'failed', reason: why, revert: false };
    case 'revert':
      return { kind: 'enter', state: 'failed', reason: why, revert: true };
  }
}

/** Returns hosts of the failed wave as they come to rest; the ones still under way are waited for. */
function reconcileRevert(snapshot: RolloutSnapshot, nowMs: number): Action[] {
  const { failed, unreachable } = expired(snapshot, nowMs);
  const actions: Action[] = [];
  if (failed.length > 0) actions.push({ kind: 'expire', hosts: failed, to: 'failed' });
  if (unreachable.length > 0) actions.push({ kind: 'expire', hosts: unreachable, to: 'unreachable' });
  const toReturn = snapshot.targets.filter((t) => t.state === 'converged' && !t.returnSent).map((t) => t.host);
  if (toReturn.length > 0) actions.push({ kind: 'return', hosts: toReturn });
  const inFlight = hostsIn(snapshot.targets, 'inFlight').length - failed.length - unreachable.length;
  if (inFlight === 0) actions.push({ kind: 'finish-revert' });
  return actions;
}

/** The wave is over: soak, then the next wave, then done. */
function reconcileFinishedWave(snapshot: RolloutSnapshot, nowMs: number): Action[] {
  const silent = hostsIn(snapshot.targets, 'unreachable');
  if (silent.length === snapshot.targets.length) {
    const reason = `no host of wave ${snapshot.currentWave + 1} of ${snapshot.waveCount} answered: ${naming(silent)}`;
    return [{ kind: 'enter', state: 'paused', reason, revert: false }];
  }
  if (snapshot.soakStartedAtMs === undefined && snapshot.policy.soakSeconds > 0) return [{ kind: 'soak' }];
  if (nowMs - (snapshot.soakStartedAtMs ?? nowMs) < snapshot.policy.soakSeconds * 1000) return [];
  const next = snapshot.currentWave + 1;
  if (next < snapshot.waveCount) return [{ kind: 'advance', wave: next }];
  const failed = hostsIn(snapshot.targets, 'failed').length;
  const notes = [failed > 0 ? `${failed} failed` : '', silent.length > 0 ? `${silent.length} not reached` : '']
    .filter(Boolean)
    .join(', ');
  return [
    {
      kind: 'enter',
      state: 'completed',
      reason: notes === '' ? 'every host converged' : `last wave converged; ${notes}`,
      revert: false,
    },
  ];
}

export function reconcile(snapshot: RolloutSnapshot, nowMs: number): Action[] {
  if (snapshot.revertPending) return reconcileRevert(snapshot, nowMs);
  const { failed: late, unreachable } = expired(snapshot, nowMs);
  const expiry: Action[] = [];
  if (late.length > 0) expiry.push({ kind: 'expire', hosts: late, to: 'failed' });
  if (unreachable.length > 0) expiry.push({ kind: 'expire', hosts: unreachable, to: 'unreachable' });
  // A paused rollout still takes note of hosts that ran out of time; it dispatches nothing.
  if (snapshot.state !== 'running') return snapshot.state === 'paused' ? expiry : [];
  // What expired now is judged in the next round, on a snapshot that shows it.
  if (expiry.length > 0) return expiry;
  const failed = hostsIn(snapshot.targets, 'failed');
  if (failed.length - snapshot.acceptedFailures > shareOf(snapshot.policy.failureThreshold, snapshot.targets.length)) {
    return [onFailure(snapshot, failed)];
  }
  const queued = hostsIn(snapshot.targets, 'queued');
  if (queued.length > 0) return [{ kind: 'dispatch', hosts: queued.slice(0, hostsPerDispatch) }];
  if (hostsIn(snapshot.targets, 'inFlight').length > 0) return [];
  return reconcileFinishedWave(snapshot, nowMs);
}
