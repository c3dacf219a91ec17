import { sql, type Transaction } from 'kysely';

/** Events older than this are no longer redelivered by any stream of ours. */
const keepDays = 31;

/** Claims an event for a consumer in the transaction of its effect; false when it was handled before. */
export async function claimInbox<Tables>(tx: Transaction<Tables>, consumer: string, eventId: string): Promise<boolean> {
  const { rows } =
    await sql`INSERT INTO inbox (consumer, event_id) VALUES (${consumer}, ${eventId}::uuid) ON CONFLICT DO NOTHING RETURNING 1`.execute(
      tx,
    );
  return rows.length === 1;
}

/** Forgets events that can't come again, a bounded number at a time. */
export async function pruneInbox<Tables>(tx: Transaction<Tables>): Promise<void> {
  await sql`DELETE FROM inbox WHERE (consumer, event_id) IN (
    SELECT consumer, event_id FROM inbox WHERE handled_at < now() - make_interval(days => ${keepDays}) LIMIT 10000)`.execute(
    tx,
  );
}
