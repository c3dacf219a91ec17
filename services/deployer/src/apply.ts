import { type Intent, intentSubject, rolloutChanged } from '@nixfleet/schema';
import { enqueueMessages, publishEvent } from '@nixfleet/service';
import type { Transaction } from 'kysely';
import { beIntent, type IntentTarget, returnIntent } from './core/intents.ts';
import type { Action } from './core/reconcile.ts';
import type { StatementCache } from './statements.ts';
import { type DispatchedHost, openAttempts } from './store/attempts.ts';
import { appendAudit } from './store/audit.ts';
import { type RolloutRow, releaseHosts, setTargetState, updateRollout } from './store/rollouts.ts';
import type { DeployerTables } from './store/tables.ts';

type Tx = Transaction<DeployerTables>;

export interface ApplyDeps {
  readonly statements: StatementCache;
  readonly cacheUrls: readonly string[];
}

/** Sends intents by the outbox: they leave when, and only when, the transaction that opened the attempts commits. */
async function enqueueIntents(tx: Tx, intents: readonly Intent[]): Promise<void> {
  const messages = intents.map((intent) => ({
    id: intent.attempt,
    subject: intentSubject(intent.site, intent.host),
    payload: JSON.stringify(intent),
  }));
  await enqueueMessages(tx, messages);
}

async function dispatch(tx: Tx, rollout: RolloutRow, hosts: readonly string[], deps: ApplyDeps): Promise<void> {
  const statements = await deps.statements.get(tx, rollout.fleet, rollout.release, rollout.sequence);
  const opened = await openAttempts(tx, rollout.rollout, hosts, 'be');
  const identity = { fleet: rollout.fleet, rollout: rollout.rollout, traceId: rollout.trace_id };
  const intents = opened.flatMap((target) => {
    const signed = statements.get(target.host);
    return signed === undefined ? [] : [beIntent(identity, target, signed, rollout.policy, deps.cacheUrls)];
  });
  await enqueueIntents(tx, intents);
}

async function sendReturns(tx: Tx, rollout: RolloutRow, hosts: readonly string[]): Promise<void> {
  const opened = await openAttempts(tx, rollout.rollout, hosts, 'return');
  const identity = { fleet: rollout.fleet, rollout: rollout.rollout, traceId: rollout.trace_id };
  const withOrigin = (target: DispatchedHost): target is DispatchedHost & IntentTarget & { ofAttempt: string } =>
    target.ofAttempt !== null;
  const intents = opened.filter(withOrigin).map((target) => returnIntent(identity, target, target.ofAttempt));
  await enqueueIntents(tx, intents);
}

/** Announces a rollout's state and writes it to the audit log. */
export async function announceRollout(
  tx: Tx,
  rollout: Pick<RolloutRow, 'rollout' | 'fleet' | 'release' | 'state' | 'current_wave' | 'trace_id'>,
  actor: string,
  action: string,
  reason?: string,
): Promise<void> {
  const { rollout: id, fleet, release, state, current_wave: wave } = rollout;
  const data = { rollout: id, fleet, release, state, wave, ...(reason === undefined ? {} : { reason }) };
  await publishEvent(tx, rolloutChanged, data, { traceId: rollout.trace_id });
  await appendAudit(tx, { actor, action, subject: `rollout ${id}`, detail: { state, wave, reason: reason ?? null } });
}

/** Carries out what `reconcile` decided, in the transaction in which it was decided. */
export async function applyAction(tx: Tx, rollout: RolloutRow, action: Action, deps: ApplyDeps): Promise<void> {
  const id = rollout.rollout;
  switch (action.kind) {
    case 'dispatch':
      return dispatch(tx, rollout, action.hosts, deps);
    case 'return':
      return sendReturns(tx, rollout, action.hosts);
    case 'expire':
      return setTargetState(tx, id, action.hosts, action.to);
    case 'soak':
      return updateRollout(tx, id, { soakStartedAt: new Date() });
    case 'advance':
      return updateRollout(tx, id, { currentWave: action.wave, soakStartedAt: null, acceptedFailures: 0 });
    case 'finish-revert':
      await updateRollout(tx, id, { revertPending: false });
      return releaseHosts(tx, id);
    case 'enter':
      await updateRollout(tx, id, { state: action.state, reason: action.reason, revertPending: action.revert });
      if (action.state !== 'paused' && !action.revert) await releaseHosts(tx, id);
      return announceRollout(
        tx,
        { ...rollout, state: action.state },
        'deployer',
        `rollout-${action.state}`,
        action.reason,
      );
  }
}
