import { randomUUID } from 'node:crypto';
import { backupFailed, backupSucceeded } from '@nixfleet/schema';
import { type Database, publishEvents } from '@nixfleet/service';
import type { Transaction } from 'kysely';
import { applyPing, type JobState, type OpenRun, type Ping, type RunChange } from './core/pings.ts';
import { MicroBatcher } from './micro-batcher.ts';
import { lockJobs, updateJobs, upsertRuns } from './store/backups.ts';
import type { TelemetryTables } from './store/tables.ts';

export interface ReceivedPing {
  readonly pingKey: string;
  readonly ping: Ping;
  readonly traceId: string;
}

/** `unknown`: no job has that key. */
export type PingResult = 'stored' | 'unknown';

interface TouchedJob {
  readonly host: string;
  readonly job: string;
  readonly site: string;
  state: JobState;
  openRuns: OpenRun[];
}

/** Later changes of the same run within a batch are laid over the earlier ones. */
function mergeRuns(
  runs: readonly (RunChange & { host: string; job: string })[],
): (RunChange & { host: string; job: string })[] {
  const merged = new Map<string, RunChange & { host: string; job: string }>();
  for (const run of runs)
    merged.set(`${run.host}/${run.job}/${run.run}`, { ...merged.get(`${run.host}/${run.job}/${run.run}`), ...run });
  return [...merged.values()];
}

/** Applies pings in the order in which they came, in a fixed number of statements whatever their number. */
export async function writePings(
  tx: Transaction<TelemetryTables>,
  received: readonly ReceivedPing[],
): Promise<PingResult[]> {
  const locked = await lockJobs(tx, [...new Set(received.map((r) => r.pingKey))]);
  const jobs = new Map<string, TouchedJob>(
    [...locked].map(([key, job]) => [
      key,
      { host: job.host, job: job.job, site: job.site, state: job.state, openRuns: [...job.openRuns] },
    ]),
  );
  const runs: (RunChange & { host: string; job: string })[] = [];
  const results: PingResult[] = [];
  for (const { pingKey, ping, traceId } of received) {
    const job = jobs.get(pingKey);
    results.push(job === undefined ? 'unknown' : 'stored');
    if (job === undefined) continue;
    const effect = applyPing(job.state, job.openRuns, ping, randomUUID());
    job.state = effect.job;
    const { host, site, job: name } = job;
    if (effect.run !== undefined) {
      const { run, startedMs, outcome } = effect.run;
      runs.push({ ...effect.run, host, job: name });
      job.openRuns = job.openRuns.filter((open) => open.run !== run);
      if (outcome === 'running' && startedMs !== undefined) job.openRuns.push({ run, startedMs });
    }
    if (effect.event === undefined) continue;
    const lastSuccess =
      job.state.lastSuccessMs === undefined ? {} : { lastSuccessAt: new Date(job.state.lastSuccessMs).toISOString() };
    const detail =
      effect.event === 'failed' && ping.body !== undefined && ping.body !== ''
        ? { detail: ping.body.slice(0, 1000) }
        : {};
    await publishEvents(
      tx,
      effect.event === 'failed' ? backupFailed : backupSucceeded,
      [{ host, site, job: name, ...lastSuccess, ...detail }],
      { traceId },
    );
  }
  if (jobs.size > 0) await updateJobs(tx, [...jobs.values()]);
  await upsertRuns(tx, mergeRuns(runs));
  return results;
}

export const createPingWriter = (db: Database<TelemetryTables>): MicroBatcher<ReceivedPing, PingResult> =>
  new MicroBatcher({
    maxBatch: 200,
    maxWaiting: 20_000,
    write: (items) => db.transaction((tx) => writePings(tx, items)),
  });
