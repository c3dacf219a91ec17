import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupDetail, BackupList, FleetError } from '@nixfleet/schema';
import type { Context } from '../context.ts';
import type { Outcome } from './demo-checks.ts';
import type { Reporter } from './reporter.ts';

/** A second job in the demo's fleet has deadlines of hours: only one that is due within this time is played. */
const maxWaitMs = 30_000;
const pollMs = 250;

/** As a backup script would: `curl $PING_URL/start`. */
async function ping(url: string): Promise<void> {
  const response = await fetch(url, { method: 'POST', signal: AbortSignal.timeout(5000) });
  if (!response.ok) throw new FleetError('unavailable', `the ping was answered with ${response.status}`);
}

async function awaitState(
  context: Context,
  path: string,
  state: BackupDetail['state'],
  timeoutMs: number,
): Promise<BackupDetail> {
  const giveUpMs = Date.now() + timeoutMs;
  for (;;) {
    const job = await context.telemetry.ask(BackupDetail, path);
    if (job.state === state || Date.now() > giveUpMs) return job;
    await sleep(pollMs);
  }
}

/** A host's declared job reports start and success, is up, then misses its deadline and is late. */
export async function playBackup(context: Context, reporter: Reporter, host: string): Promise<Outcome> {
  const { backups } = await context.telemetry.ask(BackupList, '/v1/backups?limit=1000');
  const declared = backups.find((backup) => backup.host === host);
  if (declared === undefined) return { ok: false, happened: `telemetry knows no backup job of ${host}` };
  const path = `/v1/backups/${declared.host}/${declared.job}`;
  const { pingUrl } = await context.telemetry.ask(BackupDetail, path);
  reporter.step(`${host} declares the job ${declared.job} (${declared.schedule}); it is ${declared.state}`);
  const run = randomUUID();
  await ping(`${pingUrl}/start?rid=${run}`);
  await ping(`${pingUrl}?rid=${run}`);
  const up = await awaitState(context, path, 'up', 10_000);
  const outcome = up.runs.find((one) => one.run === run)?.outcome;
  if (up.state !== 'up' || outcome !== 'succeeded')
    return { ok: false, happened: `after a successful run the job is ${up.state}, the run ${outcome ?? 'unknown'}` };
  const dueMs = Date.parse(up.nextDeadlineAt) - Date.now();
  reporter.step(`start and success arrived: the job is up; it is late unless it reports within ${dueMs / 1000} s`);
  if (dueMs > maxWaitMs)
    return { ok: false, happened: `the next deadline is ${up.nextDeadlineAt}, too far for a demo` };
  const late = await awaitState(context, path, 'late', dueMs + 10_000);
  reporter.step(`nothing came by ${up.nextDeadlineAt}: the job is ${late.state}`);
  return { ok: late.state === 'late', happened: `up, then ${late.state}` };
}
