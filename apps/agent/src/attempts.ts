import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AgentReport,
  type AttemptReason,
  type AttemptStep,
  type BeIntent,
  type CheckResult,
  FleetError,
  type Intent,
  type ReturnIntent,
} from '@nixfleet/schema';
import { verifySignedStatement } from '@nixfleet/trust';
import type { Logger } from 'pino';
import { ActivationError, activate, refuseForeignClosure } from './activation.ts';
import { ClosureError, installClosure } from './closure.ts';
import { type AgentConfig, agentVersion } from './config.ts';
import { readHealthChecks, waitForHealth } from './health.ts';
import { type Attempt, type ConfirmedSystem, type Journal, type JournalState, withReport } from './journal.ts';
import { installWithNix, setSystemProfile, usesRealStore } from './real-store.ts';
import { type HostRoot, switchGeneration } from './root.ts';

export interface AttemptDeps {
  readonly config: AgentConfig;
  readonly root: HostRoot;
  readonly journal: Journal;
  readonly bootId: string;
  readonly log: Logger;
  /** Called after a report has been written to the journal. */
  readonly onReport: () => void;
  readonly signal: AbortSignal;
}

interface Outcome {
  readonly reason?: AttemptReason;
  readonly detail?: string;
  readonly checks?: readonly CheckResult[];
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 1900);

function reasonOf(error: unknown): AttemptReason {
  if (error instanceof ClosureError || error instanceof ActivationError) return error.reason;
  if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return 'storage_full';
  return 'internal';
}

const cacheRetryMs = 2000;

/**
 * Carries out intents one at a time. Each phase is in the journal, synced, before it begins: whatever kills the agent,
 * `resume` goes on from there, and the host ends in the old confirmed system or in the new one.
 */
export class AttemptRunner {
  readonly #deps: AttemptDeps;

  constructor(deps: AttemptDeps) {
    this.#deps = deps;
  }

  /** Finishes what a killed agent left unfinished. */
  async resume(): Promise<void> {
    const attempt = this.#deps.journal.state.attempt;
    if (attempt === undefined || attempt.phase === 'done') return;
    this.#deps.log.warn(
      { attempt: attempt.intent.attempt, phase: attempt.phase },
      'resuming the attempt that a stopped agent left',
    );
    await this.#carryOn();
  }

  /** Acts on an intent, or ignores it when it is not newer than what was acted upon. */
  async handle(intent: Intent): Promise<void> {
    const { state } = this.#deps.journal;
    if (intent.intentSequence <= state.intentSequence || intent.intentSequence <= state.refusedSequence) return;
    const refusal = intent.verb === 'be' ? this.#judge(intent) : this.#judgeReturn(intent);
    if (refusal !== undefined) {
      await this.#refuse(intent, refusal.reason, refusal.detail);
      return;
    }
    await this.#begin(intent);
    await this.#carryOn();
  }

  /** Tells why an intent is not acted upon; the running system stays. */
  async #refuse(intent: Intent, reason: AttemptReason, detail: string): Promise<void> {
    this.#deps.log.error({ attempt: intent.attempt, reason, detail }, 'intent refused');
    const report = this.#report(intent, 1, 'refused', { reason, detail });
    await this.#deps.journal.update((state) =>
      withReport({ ...state, refusedSequence: intent.intentSequence }, report),
    );
    this.#deps.onReport();
  }

  #judge(intent: BeIntent): { reason: AttemptReason; detail: string } | undefined {
    const { config, journal } = this.#deps;
    const verdict = verifySignedStatement(intent.signed, {
      fleet: config.fleet,
      host: config.host,
      trustedKeys: config.releaseKeys,
      nowMs: Date.now(),
      lastSequence: journal.state.statementSequence,
    });
    return verdict.ok ? undefined : verdict;
  }

  /** A return needs no signature, so it is bound to one attempt of this host, its window, and once. */
  #judgeReturn(intent: ReturnIntent): { reason: AttemptReason; detail: string } | undefined {
    const attempt = this.#deps.journal.state.attempt;
    if (attempt === undefined || attempt.intent.attempt !== intent.ofAttempt || attempt.intent.verb !== 'be') {
      return { reason: 'window_closed', detail: `attempt ${intent.ofAttempt} is not the last one of this host` };
    }
    if (attempt.outcome !== 'confirmed')
      return {
        reason: 'window_closed',
        detail: `attempt ${intent.ofAttempt} ended as ${attempt.outcome ?? attempt.phase}`,
      };
    if (attempt.returned)
      return { reason: 'window_closed', detail: `attempt ${intent.ofAttempt} was returned from before` };
    if (attempt.returnWindowEndsMs === undefined || Date.now() > attempt.returnWindowEndsMs) {
      return {
        reason: 'window_closed',
        detail: `the soak window of attempt ${intent.ofAttempt} is over; a later return is a signed release`,
      };
    }
    if (attempt.returnTo === undefined)
      return { reason: 'nothing_to_return_to', detail: 'no system was confirmed here before that attempt' };
    return undefined;
  }

  async #begin(intent: Intent): Promise<void> {
    await this.#deps.journal.update((state) => {
      const previous = intent.verb === 'return' ? state.attempt?.returnTo : state.confirmed;
      const attempt: Attempt = {
        intent,
        phase: intent.verb === 'be' ? 'accepted' : 'returning',
        reportSequence: 1,
        returned: intent.verb === 'return',
        ...(previous === undefined ? {} : { returnTo: previous }),
        ...(intent.verb === 'return' ? { reason: 'return_requested' as const } : {}),
      };
      const next: JournalState = {
        ...state,
        intentSequence: intent.intentSequence,
        statementSequence: intent.verb === 'be' ? intent.signed.statement.sequence : state.statementSequence,
        attempt,
      };
      return withReport(next, this.#report(intent, 1, 'accepted', {}, state.confirmed));
    });
    this.#deps.onReport();
  }

  async #carryOn(): Promise<void> {
    const { journal, signal } = this.#deps;
    while (!signal.aborted) {
      const attempt = journal.state.attempt;
      if (attempt === undefined || attempt.phase === 'done') return;
      try {
        await this.#runPhase(attempt);
      } catch (error) {
        // Stopped in the middle: the journal says where the next agent goes on.
        if (signal.aborted) return;
        await this.#phaseFailed(attempt, error);
      }
    }
  }

  async #runPhase(attempt: Attempt): Promise<void> {
    const { intent } = attempt;
    if (attempt.phase === 'returning' || intent.verb === 'return') return this.#return(attempt);
    switch (attempt.phase) {
      case 'accepted':
        return this.#enter('fetching', 'fetching', {});
      case 'fetching':
        await this.#fetch(intent);
        return this.#enter('activating', 'activating', { generation: this.#deps.journal.state.lastGeneration + 1 });
      case 'activating':
        await this.#switchTo(attempt, intent.signed.statement.toplevel, attempt.generation);
        return this.#enter('verifying', 'verifying', {
          confirmDeadlineMs: Date.now() + intent.confirmDeadlineSeconds * 1000,
        });
      case 'verifying':
        return this.#verify(attempt, intent);
      case 'done':
        return undefined;
    }
  }

  /** Brings the closure here; waits for a cache that can't answer until the attempt's own time is over. */
  async #fetch(intent: BeIntent): Promise<void> {
    const { root, config, signal, log } = this.#deps;
    const { statement } = intent.signed;
    const giveUpMs = Date.now() + intent.confirmDeadlineSeconds * 1000;
    for (;;) {
      try {
        if (await usesRealStore(root)) await installWithNix(statement, intent.cacheUrls, config.cacheKeys, signal);
        else await installClosure(root, statement, intent.cacheUrls, config.cacheKeys, signal);
        break;
      } catch (error) {
        if (!(error instanceof ClosureError) || error.reason !== 'closure_unavailable' || Date.now() > giveUpMs)
          throw error;
        log.warn({ detail: messageOf(error) }, 'no cache answered, trying again');
        await sleep(cacheRetryMs, undefined, { signal });
      }
    }
    await refuseForeignClosure(root, statement.toplevel);
  }

  async #switchTo(attempt: Attempt, toplevel: string, generation: number | undefined): Promise<void> {
    const { root, bootId, config } = this.#deps;
    if (generation === undefined)
      throw new FleetError('invalid_input', 'the journal names no generation for this activation');
    if (await usesRealStore(root)) await setSystemProfile(toplevel);
    else await switchGeneration(root, generation, toplevel);
    // Once an attempt and direction; after a reboot again: what an activation starts did not survive it.
    const key = `${attempt.intent.attempt}-${attempt.phase}-${bootId}`;
    await activate(root, toplevel, { stateDir: config.stateDir, key });
  }

  async #verify(attempt: Attempt, intent: BeIntent): Promise<void> {
    const { root, signal } = this.#deps;
    const { toplevel } = intent.signed.statement;
    const checks = await readHealthChecks(root, toplevel);
    const verdict = await waitForHealth(root, checks, attempt.confirmDeadlineMs ?? 0, signal);
    if (signal.aborted) return;
    if (!verdict.healthy) {
      const failing = verdict.checks.filter((check) => !check.healthy);
      const detail = failing
        .map((check) => `${check.kind} ${check.name}: ${check.detail}`)
        .join('; ')
        .slice(0, 1900);
      await this.#enterReturn(attempt, { reason: 'health_failed', detail, checks: verdict.checks });
      return;
    }
    const confirmed: ConfirmedSystem = {
      toplevel,
      generation: attempt.generation ?? this.#deps.journal.state.lastGeneration,
    };
    await this.#end(
      attempt,
      'confirmed',
      'confirmed',
      { checks: verdict.checks },
      { confirmed, returnWindowEndsMs: Date.now() + intent.soakSeconds * 1000 },
    );
  }

  /** Goes back to the system that was confirmed when the attempt began. */
  async #return(attempt: Attempt): Promise<void> {
    const { reason = 'internal', detail, returnTo } = attempt;
    const outcome: Outcome = { reason, ...(detail === undefined ? {} : { detail }) };
    if (returnTo === undefined) {
      await this.#end(
        attempt,
        'failed',
        'failed',
        { ...outcome, detail: `${detail ?? ''}; nothing was confirmed here before, so the new system stays` },
        {},
      );
      return;
    }
    await this.#switchTo(attempt, returnTo.toplevel, returnTo.generation);
    await this.#end(attempt, 'reverted', 'reverted', outcome, { confirmed: returnTo });
  }

  async #phaseFailed(attempt: Attempt, error: unknown): Promise<void> {
    const outcome: Outcome = { reason: reasonOf(error), detail: messageOf(error) };
    this.#deps.log.error({ attempt: attempt.intent.attempt, phase: attempt.phase, err: error }, 'attempt failed');
    const refusable: readonly AttemptReason[] = ['closure_mismatch', 'untrusted_path', 'corrupt_nar', 'foreign_root'];
    // Before activation nothing has changed on the host: there is nothing to return from.
    if (attempt.phase === 'accepted' || attempt.phase === 'fetching') {
      await this.#end(
        attempt,
        'failed',
        refusable.includes(outcome.reason ?? 'internal') ? 'refused' : 'failed',
        outcome,
        {},
      );
    } else if (attempt.phase === 'returning') {
      await this.#end(
        attempt,
        'failed',
        'failed',
        { ...outcome, detail: `the return failed: ${outcome.detail ?? ''}` },
        {},
      );
    } else {
      await this.#enterReturn(attempt, outcome);
    }
  }

  async #enterReturn(attempt: Attempt, outcome: Outcome): Promise<void> {
    this.#deps.log.warn({ attempt: attempt.intent.attempt, ...outcome }, 'returning to the last confirmed system');
    await this.#deps.journal.update((state) => ({
      ...state,
      attempt: {
        ...attempt,
        phase: 'returning',
        ...(outcome.reason === undefined ? {} : { reason: outcome.reason }),
        ...(outcome.detail === undefined ? {} : { detail: outcome.detail }),
      },
    }));
  }

  async #enter(phase: Attempt['phase'], step: AttemptStep, more: Partial<Attempt>): Promise<void> {
    await this.#deps.journal.update((state) => {
      if (state.attempt === undefined) return state;
      const attempt: Attempt = { ...state.attempt, ...more, phase, reportSequence: state.attempt.reportSequence + 1 };
      const report = this.#report(attempt.intent, attempt.reportSequence, step, {}, state.confirmed);
      return withReport(
        { ...state, attempt, lastGeneration: Math.max(state.lastGeneration, attempt.generation ?? 0) },
        report,
      );
    });
    this.#deps.onReport();
  }

  async #end(
    attempt: Attempt,
    ended: NonNullable<Attempt['outcome']>,
    step: AttemptStep,
    outcome: Outcome,
    more: { confirmed?: ConfirmedSystem; returnWindowEndsMs?: number },
  ): Promise<void> {
    await this.#deps.journal.update((state) => {
      const confirmed = more.confirmed ?? state.confirmed;
      const done: Attempt = {
        ...attempt,
        phase: 'done',
        outcome: ended,
        reportSequence: (state.attempt?.reportSequence ?? attempt.reportSequence) + 1,
        ...(more.returnWindowEndsMs === undefined ? {} : { returnWindowEndsMs: more.returnWindowEndsMs }),
      };
      const report = this.#report(attempt.intent, done.reportSequence, step, outcome, confirmed);
      return withReport({ ...state, attempt: done, ...(confirmed === undefined ? {} : { confirmed }) }, report);
    });
    this.#deps.onReport();
    this.#deps.log.info({ attempt: attempt.intent.attempt, step, reason: outcome.reason }, 'attempt ended');
  }

  #report(
    intent: Intent,
    sequence: number,
    step: AttemptStep,
    outcome: Outcome,
    running?: ConfirmedSystem,
  ): AgentReport {
    const { config, bootId } = this.#deps;
    const current = running ?? this.#deps.journal.state.confirmed;
    return {
      version: 1,
      host: config.host,
      site: config.site,
      attempt: intent.attempt,
      sequence,
      step,
      time: new Date().toISOString(),
      bootId,
      agentVersion,
      ...(current === undefined ? {} : { toplevel: current.toplevel, generation: current.generation }),
      ...(outcome.reason === undefined ? {} : { reason: outcome.reason }),
      ...(outcome.detail === undefined ? {} : { detail: outcome.detail.slice(0, 2000) }),
      ...(outcome.checks === undefined ? {} : { checks: outcome.checks.slice(0, 100) }),
    };
  }
}
