import { setTimeout as sleep } from 'node:timers/promises';
import { sql, type Transaction } from 'kysely';
import type { Database } from './database.ts';
import type { Logger } from './logger.ts';

/** Events older than this are no longer redelivered by any stream of ours. */
const keepDays = 31;
const stopTimeoutMs = 1000;

/** Claims an event for a consumer in the transaction of its effect; false when it was handled before. */
export async function claimInbox<Tables>(tx: Transaction<Tables>, consumer: string, eventId: string): Promise<boolean> {
  const { rows } =
    await sql`INSERT INTO inbox (consumer, event_id) VALUES (${consumer}, ${eventId}::uuid) ON CONFLICT DO NOTHING RETURNING 1`.execute(
      tx,
    );
  return rows.length === 1;
}

const pruneBatch = 10_000;
const pruneEveryMs = 6 * 3_600_000;

/** Forgets events of a consumer that can't come again, a bounded number at a time; returns how many. */
export async function pruneInbox<Tables>(tx: Transaction<Tables>, consumer: string): Promise<number> {
  const { numAffectedRows = 0n } = await sql`DELETE FROM inbox WHERE (consumer, event_id) IN (
    SELECT consumer, event_id FROM inbox WHERE handled_at < now() - make_interval(days => ${keepDays}) AND consumer = ${consumer} LIMIT ${pruneBatch})`.execute(
    tx,
  );
  return Number(numAffectedRows);
}

/** Prunes a consumer's inbox at the start and every six hours until disposed. */
export function startInboxPruning<Tables>(db: Database<Tables>, consumer: string, log: Logger): AsyncDisposable {
  const stop = new AbortController();
  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        await db.ready;
        while ((await db.transaction((tx) => pruneInbox(tx, consumer))) === pruneBatch && !stop.signal.aborted);
      } catch (error) {
        if (!stop.signal.aborted) log.warn({ err: error, consumer }, 'the inbox could not be pruned');
      }
      await sleep(pruneEveryMs, undefined, { signal: stop.signal, ref: false }).catch(() => undefined);
    }
  };
  const running = run();
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      // Until Postgres has been reached there is nothing under way.
      await Promise.race([running, sleep(stopTimeoutMs, undefined, { ref: false })]);
    },
  };
}
