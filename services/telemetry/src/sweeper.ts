import { setTimeout as sleep } from 'node:timers/promises';
import { backupLate, hostDown } from '@nixfleet/schema';
import { type Bus, type Database, type Logger, publishEvents } from '@nixfleet/service';
import { sweepLateJobs } from './store/backups.ts';
import { sweepHosts } from './store/hosts.ts';
import type { TelemetryTables } from './store/tables.ts';

export interface SweeperDeps {
  readonly db: Database<TelemetryTables>;
  readonly bus: Bus;
  readonly log: Logger;
}

const roundMs = 1000;
const noTrace = { traceId: '0'.repeat(32) };

/** One look at every deadline; verdicts and their events are one transaction. */
export async function sweep(db: Database<TelemetryTables>, servingSince: Date): Promise<void> {
  await db.transaction(async (tx) => {
    const late = await sweepLateJobs(tx);
    const lateEvents = late.map(({ host, site, job, lastSuccessAt }) => ({
      host,
      site,
      job,
      ...(lastSuccessAt === null ? {} : { lastSuccessAt: lastSuccessAt.toISOString() }),
    }));
    await publishEvents(tx, backupLate, lateEvents, noTrace);
    const down = await sweepHosts(tx, servingSince);
    const downEvents = down.map(({ host, site, lastSeenAt }) => ({
      host,
      site,
      ...(lastSeenAt === null ? {} : { lastSeenAt: lastSeenAt.toISOString() }),
    }));
    await publishEvents(tx, hostDown, downEvents, noTrace);
  });
}

/** Looks at every deadline about once a second. While NATS or Postgres is away nobody is judged by the silence. */
export function startSweeper({ db, bus, log }: SweeperDeps): AsyncDisposable {
  const stop = new AbortController();
  const run = async (): Promise<void> => {
    await Promise.all([db.ready, bus.connection()]);
    let servingSince = new Date();
    while (!stop.signal.aborted) {
      try {
        if (!bus.connected) servingSince = new Date();
        await sweep(db, servingSince);
      } catch (error) {
        servingSince = new Date();
        log.warn({ err: error }, 'deadlines could not be looked at, trying again');
      }
      await sleep(roundMs, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  };
  const running = run().catch((error: unknown) => {
    if (!stop.signal.aborted) log.error({ err: error }, 'the sweeper has ended');
  });
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.race([running, sleep(2000, undefined, { ref: false })]);
    },
  };
}
