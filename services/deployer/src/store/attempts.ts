import type { AgentReport, AttemptStep } from '@nixfleet/schema';
import { sql, type Transaction } from 'kysely';
import type { DeployerTables } from './tables.ts';

type Tx = Transaction<DeployerTables>;

export interface DispatchedHost {
  readonly host: string;
  readonly site: string;
  readonly attempt: string;
  readonly intentSequence: number;
  /** The attempt that a return is of. */
  readonly ofAttempt: string | null;
}

/**
 * Opens an attempt for each host and moves its intent sequence on, in one statement. Only hosts that are still in the
 * expected state are taken, so a repeated decision dispatches nothing twice.
 */
export async function openAttempts(
  tx: Tx,
  rollout: string,
  hosts: readonly string[],
  verb: 'be' | 'return',
): Promise<DispatchedHost[]> {
  const column = sql.ref(verb === 'be' ? 'attempt' : 'return_attempt');
  const expected = verb === 'be' ? sql`state = 'queued'` : sql`state = 'converged' AND return_attempt IS NULL`;
  const next = verb === 'be' ? sql`state = 'inFlight',` : sql``;
  const { rows } = await sql<{
    host: string;
    site: string;
    attempt: string;
    intent_sequence: number;
    of_attempt: string | null;
  }>`
    WITH chosen AS (
      SELECT host, site, attempt AS of_attempt, gen_random_uuid() AS new_attempt FROM rollout_target
      WHERE rollout = ${rollout}::uuid AND host = ANY(${hosts}::text[]) AND ${expected} FOR UPDATE
    ), opened AS (
      INSERT INTO attempt (attempt, rollout, host, verb) SELECT new_attempt, ${rollout}::uuid, host, ${verb} FROM chosen
    ), marked AS (
      UPDATE rollout_target t SET ${next} ${column} = chosen.new_attempt FROM chosen WHERE t.rollout = ${rollout}::uuid AND t.host = chosen.host
    )
    UPDATE host SET intent_sequence = host.intent_sequence + 1 FROM chosen WHERE host.host = chosen.host
    RETURNING host.host, chosen.site, chosen.new_attempt AS attempt, host.intent_sequence, chosen.of_attempt`.execute(
    tx,
  );
  return rows.map((row) => ({
    host: row.host,
    site: row.site,
    attempt: row.attempt,
    intentSequence: row.intent_sequence,
    ofAttempt: row.of_attempt,
  }));
}

const finalSteps: readonly AttemptStep[] = ['confirmed', 'reverted', 'refused', 'failed'];

export interface AppliedReports {
  /** Rollouts whose targets changed. */
  readonly rollouts: readonly string[];
  /** Hosts whose running system changed. */
  readonly changedHosts: readonly {
    host: string;
    site: string;
    running: string | null;
    confirmed: string | null;
    fleet: string;
  }[];
}

/** The report of the highest sequence of each attempt: the others of the batch say nothing that it does not. */
function newestByAttempt(reports: readonly AgentReport[]): AgentReport[] {
  const newest = new Map<string, AgentReport>();
  for (const report of reports) {
    const known = newest.get(report.attempt);
    if (known === undefined || report.sequence > known.sequence) newest.set(report.attempt, report);
  }
  return [...newest.values()];
}

/**
 * Applies a batch of reports: monotonic by (attempt, sequence), so duplicates and reordering change nothing; an attempt
 * that has ended stays as it ended. A report counts only for the host that the attempt was sent to.
 */
export async function applyReports(tx: Tx, reports: readonly AgentReport[]): Promise<AppliedReports> {
  const newest = newestByAttempt(reports);
  const { rows: applied } = await sql<{ attempt: string; rollout: string }>`
    WITH report AS (
      SELECT * FROM unnest(${newest.map((r) => r.attempt)}::uuid[], ${newest.map((r) => r.host)}::text[], ${newest.map((r) => r.sequence)}::integer[], ${newest.map((r) => r.step)}::text[],
        ${newest.map((r) => r.reason ?? null)}::text[], ${newest.map((r) => r.detail ?? null)}::text[], ${newest.map((r) => (r.checks === undefined ? null : JSON.stringify(r.checks)))}::jsonb[])
        AS r (attempt, host, sequence, step, reason, detail, checks)
    )
    UPDATE attempt SET step = report.step, report_sequence = report.sequence, reason = report.reason, detail = report.detail, checks = report.checks,
      finished_at = CASE WHEN report.step = ANY(${[...finalSteps]}::text[]) THEN now() END
    FROM report
    WHERE attempt.attempt = report.attempt AND attempt.host = report.host AND attempt.report_sequence < report.sequence AND attempt.finished_at IS NULL
    RETURNING attempt.attempt, attempt.rollout`.execute(tx);
  if (applied.length === 0) return { rollouts: [], changedHosts: [] };
  const attempts = applied.map((row) => row.attempt);
  // Late answers of an unreachable host count while its rollout owns it; after that they resurrect nothing.
  await sql`
    UPDATE rollout_target t SET state = CASE WHEN a.step = 'confirmed' THEN 'converged' WHEN a.step IN ('reverted', 'refused', 'failed') THEN 'failed' ELSE 'inFlight' END
    FROM attempt a WHERE a.attempt = ANY(${attempts}::uuid[]) AND t.rollout = a.rollout AND t.host = a.host AND t.attempt = a.attempt AND t.owns_host
      AND (t.state = 'unreachable' OR (t.state = 'inFlight' AND a.finished_at IS NOT NULL))`.execute(tx);
  const changedHosts = await updateReportedHosts(tx, newest, attempts);
  return { rollouts: [...new Set(applied.map((row) => row.rollout))], changedHosts };
}

/**
 * Keeps what each host runs and has confirmed. Returns the hosts of which that changed; a report that says nothing new
 * writes nothing, except the time, and that not more than every ten seconds.
 */
async function updateReportedHosts(
  tx: Tx,
  reports: readonly AgentReport[],
  attempts: readonly string[],
): Promise<AppliedReports['changedHosts']> {
  const { rows } = await sql<{
    host: string;
    site: string;
    running: string | null;
    confirmed: string | null;
    fleet: string;
    changed: boolean;
  }>`
    WITH report AS (
      SELECT DISTINCT ON (host) * FROM unnest(${reports.map((r) => r.attempt)}::uuid[], ${reports.map((r) => r.host)}::text[], ${reports.map((r) => r.step)}::text[],
        ${reports.map((r) => r.toplevel ?? null)}::text[], ${reports.map((r) => r.generation ?? null)}::integer[]) AS r (attempt, host, step, toplevel, generation)
      WHERE r.attempt = ANY(${[...attempts]}::uuid[]) ORDER BY host, (step IN ('confirmed', 'reverted', 'refused', 'failed'))
    ), said AS (
      SELECT host.host, host.running_toplevel AS old_running, host.confirmed_toplevel AS old_confirmed, host.confirmed_release AS old_release,
        coalesce(report.toplevel, host.running_toplevel) AS running, coalesce(report.generation, host.generation) AS generation,
        CASE WHEN report.step IN ('confirmed', 'reverted') THEN coalesce(report.toplevel, host.confirmed_toplevel) ELSE host.confirmed_toplevel END AS confirmed,
        CASE WHEN report.step = 'confirmed' THEN rollout.release WHEN report.step = 'reverted' THEN (
          SELECT release FROM release_host h JOIN release r USING (release) WHERE h.host = report.host AND h.toplevel = report.toplevel ORDER BY r.created_at DESC LIMIT 1
        ) ELSE host.confirmed_release END AS release
      FROM report JOIN host ON host.host = report.host JOIN attempt a ON a.attempt = report.attempt JOIN rollout ON rollout.rollout = a.rollout
    )
    UPDATE host SET last_report_at = now(), running_toplevel = said.running, generation = said.generation, confirmed_toplevel = said.confirmed, confirmed_release = said.release
    FROM said WHERE host.host = said.host AND (
      host.last_report_at IS NULL OR host.last_report_at < now() - interval '10 seconds' OR host.generation IS DISTINCT FROM said.generation
      OR (said.old_running, said.old_confirmed, said.old_release) IS DISTINCT FROM (said.running, said.confirmed, said.release))
    RETURNING host.host, host.site, host.running_toplevel AS running, host.confirmed_toplevel AS confirmed, host.fleet,
      (said.old_running, said.old_confirmed) IS DISTINCT FROM (said.running, said.confirmed) AS changed`.execute(tx);
  return rows.filter((row) => row.changed);
}
