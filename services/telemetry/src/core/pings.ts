import type { BackupState } from '@nixfleet/schema';

/** A ping as the URL says it: healthchecks' API, which backup tools already speak. */
export type PingKind = 'start' | 'success' | 'fail' | 'log';

export interface Ping {
  readonly kind: PingKind;
  /** UUID of the run, when the sender gives one. */
  readonly rid?: string;
  readonly exitStatus?: number;
  readonly body?: string;
  readonly atMs: number;
}

export interface JobState {
  readonly state: BackupState;
  readonly timeoutSeconds: number;
  readonly graceSeconds: number;
  readonly lastSuccessMs?: number;
  readonly lastFailureMs?: number;
  /** Start of the run that succeeded last: an older run's late failure says nothing new. */
  readonly lastSuccessStartMs?: number;
  readonly lastKind?: PingKind;
  readonly lastPingMs?: number;
  readonly nextDeadlineMs: number;
}

/** A run that has started and not ended. */
export interface OpenRun {
  readonly run: string;
  readonly startedMs: number;
}

export interface RunChange {
  readonly run: string;
  readonly startedMs?: number;
  readonly finishedMs?: number;
  readonly outcome: 'running' | 'succeeded' | 'failed';
  readonly exitStatus?: number;
  readonly body?: string;
}

export interface PingEffect {
  readonly job: JobState;
  readonly run?: RunChange;
  /** What to announce. */
  readonly event?: 'succeeded' | 'failed';
}

/** `curl --retry` without a run id sends the same thing again within this time. */
const repeatWindowMs = 2000;

/** Body and exit status of a run, where the ping gives them. */
const details = (ping: Ping): Pick<RunChange, 'exitStatus' | 'body'> => ({
  ...(ping.exitStatus === undefined ? {} : { exitStatus: ping.exitStatus }),
  ...(ping.body === undefined || ping.body === '' ? {} : { body: ping.body }),
});

/**
 * What a ping does to its job. Pure: `newRunId` is used when the sender gives no run id. `openRuns` are the job's runs
 * under way, oldest first; a finish without a run id ends the newest of them.
 */
export function applyPing(job: JobState, openRuns: readonly OpenRun[], ping: Ping, newRunId: string): PingEffect {
  const repeated =
    ping.rid === undefined &&
    job.lastKind === ping.kind &&
    job.lastPingMs !== undefined &&
    ping.atMs - job.lastPingMs < repeatWindowMs;
  if (repeated || ping.kind === 'log') return { job };
  const seen: JobState = { ...job, lastKind: ping.kind, lastPingMs: ping.atMs };
  if (ping.kind === 'start') {
    return {
      job: seen,
      run: { run: ping.rid ?? newRunId, startedMs: ping.atMs, outcome: 'running', ...details(ping) },
    };
  }
  const open = ping.rid === undefined ? openRuns.at(-1) : openRuns.find((run) => run.run === ping.rid);
  const run = {
    run: open?.run ?? ping.rid ?? newRunId,
    finishedMs: ping.atMs,
    ...(open === undefined ? {} : { startedMs: open.startedMs }),
    ...details(ping),
  };
  if (ping.kind === 'success') {
    const nextDeadlineMs = ping.atMs + (job.timeoutSeconds + job.graceSeconds) * 1000;
    const succeeded: JobState = {
      ...seen,
      state: 'up',
      lastSuccessMs: ping.atMs,
      lastSuccessStartMs: open?.startedMs ?? ping.atMs,
      nextDeadlineMs,
    };
    return { job: succeeded, run: { ...run, outcome: 'succeeded' }, event: 'succeeded' };
  }
  // A failure of a run that began before the one that succeeded last must not hide that success.
  const stale = open !== undefined && job.lastSuccessStartMs !== undefined && open.startedMs < job.lastSuccessStartMs;
  const failed: JobState = stale ? seen : { ...seen, state: 'failing', lastFailureMs: ping.atMs };
  return { job: failed, run: { ...run, outcome: 'failed' }, ...(stale ? {} : { event: 'failed' }) };
}
