import { type Backup, type BackupRun, type DeclaredJob, FleetError } from '@nixfleet/schema';
import { type Selectable, sql, type Transaction } from 'kysely';
import { deadlineOf } from '../core/deadlines.ts';
import type { JobState, OpenRun, RunChange } from '../core/pings.ts';
import type { TelemetryTables } from './tables.ts';

type Tx = Transaction<TelemetryTables>;
type JobRow = Selectable<TelemetryTables['backup_job']>;

/** Keeps a host's declared jobs; one that is declared no longer is forgotten with its runs. */
export async function replaceDeclaredJobs(
  tx: Tx,
  host: string,
  site: string,
  jobs: readonly DeclaredJob[],
): Promise<void> {
  for (const job of jobs) {
    const { timeoutSeconds, graceSeconds } = deadlineOf(job);
    await sql`
      INSERT INTO backup_job (host, job, site, schedule, timeout_seconds, grace_seconds, next_deadline_at)
      VALUES (${host}, ${job.name}, ${site}, ${job.schedule}, ${timeoutSeconds}, ${graceSeconds}, now() + make_interval(secs => ${timeoutSeconds + graceSeconds}))
      ON CONFLICT (host, job) DO UPDATE SET site = excluded.site, schedule = excluded.schedule, timeout_seconds = excluded.timeout_seconds, grace_seconds = excluded.grace_seconds,
        next_deadline_at = CASE WHEN (backup_job.timeout_seconds, backup_job.grace_seconds) = (excluded.timeout_seconds, excluded.grace_seconds)
          THEN backup_job.next_deadline_at ELSE coalesce(backup_job.last_success_at, now()) + make_interval(secs => excluded.timeout_seconds + excluded.grace_seconds) END`.execute(
      tx,
    );
  }
  const names = jobs.map((job) => job.name);
  await sql`DELETE FROM backup_job WHERE host = ${host} AND NOT job = ANY(${names}::text[])`.execute(tx);
}

export interface LockedJob {
  readonly host: string;
  readonly job: string;
  readonly site: string;
  readonly pingKey: string;
  readonly state: JobState;
  readonly openRuns: readonly OpenRun[];
}

const optionalMs = (time: Date | null): number | undefined => time?.getTime();

function toJobState(row: JobRow): JobState {
  const lastSuccessMs = optionalMs(row.last_success_at);
  const lastSuccessStartMs = optionalMs(row.last_success_start_at);
  const lastFailureMs = optionalMs(row.last_failure_at);
  const lastPingMs = optionalMs(row.last_ping_at);
  return {
    state: row.state,
    timeoutSeconds: row.timeout_seconds,
    graceSeconds: row.grace_seconds,
    nextDeadlineMs: row.next_deadline_at.getTime(),
    ...(lastSuccessMs === undefined ? {} : { lastSuccessMs }),
    ...(lastSuccessStartMs === undefined ? {} : { lastSuccessStartMs }),
    ...(lastFailureMs === undefined ? {} : { lastFailureMs }),
    ...(lastPingMs === undefined ? {} : { lastPingMs }),
    ...(row.last_kind === null ? {} : { lastKind: row.last_kind }),
  };
}

/** Runs under way that are looked at: a job that starts more without ending any has other troubles. */
const openRunsPerJob = 20;

/** Jobs by their ping keys, locked in one order so that two batches can't block each other. */
export async function lockJobs(tx: Tx, pingKeys: readonly string[]): Promise<Map<string, LockedJob>> {
  const { rows } = await sql<JobRow & { open_runs: { run: string; started_at: string }[] }>`
    SELECT backup_job.*, (
      SELECT coalesce(json_agg(json_build_object('run', run, 'started_at', started_at) ORDER BY started_at), '[]'::json) FROM (
        SELECT run, started_at FROM backup_run r WHERE r.host = backup_job.host AND r.job = backup_job.job AND r.outcome = 'running' ORDER BY started_at DESC LIMIT ${openRunsPerJob}
      ) AS newest
    ) AS open_runs
    FROM backup_job WHERE ping_key = ANY(${[...pingKeys]}::uuid[]) ORDER BY host, job FOR UPDATE`.execute(tx);
  return new Map(
    rows.map((row) => {
      const openRuns = row.open_runs.map((run) => ({ run: run.run, startedMs: Date.parse(run.started_at) }));
      return [
        row.ping_key,
        { host: row.host, job: row.job, site: row.site, pingKey: row.ping_key, state: toJobState(row), openRuns },
      ];
    }),
  );
}

const toDate = (ms: number | undefined): Date | null => (ms === undefined ? null : new Date(ms));

/** Writes the new states of jobs in one statement. */
export async function updateJobs(
  tx: Tx,
  jobs: readonly { host: string; job: string; state: JobState }[],
): Promise<void> {
  const states = jobs.map((j) => j.state);
  await sql`
    UPDATE backup_job SET state = n.state, last_success_at = n.last_success_at, last_success_start_at = n.last_success_start_at, last_failure_at = n.last_failure_at,
      last_kind = n.last_kind, last_ping_at = n.last_ping_at, next_deadline_at = n.next_deadline_at
    FROM unnest(${jobs.map((j) => j.host)}::text[], ${jobs.map((j) => j.job)}::text[], ${states.map((s) => s.state)}::text[], ${states.map((s) => toDate(s.lastSuccessMs))}::timestamptz[],
      ${states.map((s) => toDate(s.lastSuccessStartMs))}::timestamptz[], ${states.map((s) => toDate(s.lastFailureMs))}::timestamptz[], ${states.map((s) => s.lastKind ?? null)}::text[],
      ${states.map((s) => toDate(s.lastPingMs))}::timestamptz[], ${states.map((s) => toDate(s.nextDeadlineMs))}::timestamptz[])
      AS n (host, job, state, last_success_at, last_success_start_at, last_failure_at, last_kind, last_ping_at, next_deadline_at)
    WHERE backup_job.host = n.host AND backup_job.job = n.job`.execute(tx);
}

const runsKeptPerJob = 100;

/** Writes runs in one statement; a run that has ended stays as it ended. */
export async function upsertRuns(tx: Tx, runs: readonly (RunChange & { host: string; job: string })[]): Promise<void> {
  if (runs.length === 0) return;
  await sql`
    INSERT INTO backup_run (host, job, run, started_at, finished_at, outcome, exit_status, body)
    SELECT * FROM unnest(${runs.map((r) => r.host)}::text[], ${runs.map((r) => r.job)}::text[], ${runs.map((r) => r.run)}::uuid[], ${runs.map((r) => toDate(r.startedMs))}::timestamptz[],
      ${runs.map((r) => toDate(r.finishedMs))}::timestamptz[], ${runs.map((r) => r.outcome)}::text[], ${runs.map((r) => r.exitStatus ?? null)}::integer[], ${runs.map((r) => r.body ?? null)}::text[])
    ON CONFLICT (host, job, run) DO UPDATE SET started_at = coalesce(backup_run.started_at, excluded.started_at), finished_at = excluded.finished_at, outcome = excluded.outcome,
      exit_status = coalesce(excluded.exit_status, backup_run.exit_status), body = coalesce(excluded.body, backup_run.body)
    WHERE backup_run.outcome = 'running'`.execute(tx);
  await sql`DELETE FROM backup_run WHERE (host, job, run) IN (
    SELECT host, job, run FROM (
      SELECT host, job, run, row_number() OVER (PARTITION BY host, job ORDER BY coalesce(finished_at, started_at) DESC) AS place FROM backup_run
      WHERE (host, job) IN (SELECT * FROM unnest(${runs.map((r) => r.host)}::text[], ${runs.map((r) => r.job)}::text[]))
    ) AS placed WHERE place > ${runsKeptPerJob})`.execute(tx);
}

export interface LateJob {
  readonly host: string;
  readonly site: string;
  readonly job: string;
  readonly lastSuccessAt: Date | null;
}

const sweepBatch = 500;

/** Marks jobs whose deadline has passed; two instances share the work by row locks. */
export async function sweepLateJobs(tx: Tx): Promise<LateJob[]> {
  const { rows } = await sql<{ host: string; site: string; job: string; last_success_at: Date | null }>`
    UPDATE backup_job SET state = 'late' WHERE (host, job) IN (
      SELECT host, job FROM backup_job WHERE state IN ('new', 'up') AND next_deadline_at < now() ORDER BY next_deadline_at LIMIT ${sweepBatch} FOR UPDATE SKIP LOCKED
    ) RETURNING host, site, job, last_success_at`.execute(tx);
  return rows.map((row) => ({ host: row.host, site: row.site, job: row.job, lastSuccessAt: row.last_success_at }));
}

const jobColumns = sql<JobRow & { running: boolean; last_duration_seconds: number | null }>`
  SELECT backup_job.*, EXISTS (SELECT 1 FROM backup_run r WHERE r.host = backup_job.host AND r.job = backup_job.job AND r.outcome = 'running') AS running,
    (SELECT extract(epoch FROM r.finished_at - r.started_at)::float8 FROM backup_run r WHERE r.host = backup_job.host AND r.job = backup_job.job AND r.started_at IS NOT NULL AND r.finished_at IS NOT NULL
     ORDER BY r.finished_at DESC LIMIT 1) AS last_duration_seconds FROM backup_job`;
type ShownJob = JobRow & { running: boolean; last_duration_seconds: number | null };

function toBackup(row: ShownJob): Backup {
  return {
    host: row.host,
    site: row.site,
    job: row.job,
    schedule: row.schedule,
    state: row.state,
    running: row.running,
    nextDeadlineAt: row.next_deadline_at.toISOString(),
    ...(row.last_success_at === null ? {} : { lastSuccessAt: row.last_success_at.toISOString() }),
    ...(row.last_failure_at === null ? {} : { lastFailureAt: row.last_failure_at.toISOString() }),
    ...(row.last_duration_seconds === null ? {} : { lastDurationSeconds: Math.max(0, row.last_duration_seconds) }),
  };
}

/** Jobs by host and name, from after the given one. */
export async function selectBackups(tx: Tx, limit: number, after: { host: string; job: string }): Promise<Backup[]> {
  const { rows } =
    await sql<ShownJob>`${jobColumns} WHERE (host, job) > (${after.host}, ${after.job}) ORDER BY host, job LIMIT ${limit}`.execute(
      tx,
    );
  return rows.map(toBackup);
}

export async function selectBackup(
  tx: Tx,
  host: string,
  job: string,
): Promise<{ backup: Backup; pingKey: string; runs: BackupRun[] }> {
  const { rows } = await sql<ShownJob>`${jobColumns} WHERE host = ${host} AND job = ${job}`.execute(tx);
  const [row] = rows;
  if (row === undefined) throw new FleetError('not_found', `host ${host} declares no job ${job}`);
  const runs = await tx
    .selectFrom('backup_run')
    .selectAll()
    .where('host', '=', host)
    .where('job', '=', job)
    .orderBy(sql`coalesce(finished_at, started_at)`, 'desc')
    .limit(20)
    .execute();
  return {
    backup: toBackup(row),
    pingKey: row.ping_key,
    runs: runs.map((run) => ({
      run: run.run,
      outcome: run.outcome,
      ...(run.started_at === null ? {} : { startedAt: run.started_at.toISOString() }),
      ...(run.finished_at === null ? {} : { finishedAt: run.finished_at.toISOString() }),
      ...(run.exit_status === null ? {} : { exitStatus: run.exit_status }),
      ...(run.body === null ? {} : { body: run.body }),
    })),
  };
}
