import { sql, type Transaction } from 'kysely';
import type { DeployerTables } from './tables.ts';

type Tx = Transaction<DeployerTables>;

/** Notes that a host has left a site. One that comes back to a site before the purge keeps what is sent there next. */
export async function markIntentStale(
  tx: Tx,
  leftSite: string,
  host: { readonly host: string; readonly site: string },
): Promise<void> {
  await tx.deleteFrom('stale_intent').where('host', '=', host.host).where('site', '=', host.site).execute();
  await tx
    .insertInto('stale_intent')
    .values({ host: host.host, site: leftSite })
    .onConflict((conflict) => conflict.columns(['host', 'site']).doNothing())
    .execute();
}

/** Takes up to `limit` of them; they come back when the transaction fails. */
export async function takeStaleIntents(tx: Tx, limit: number): Promise<{ host: string; site: string }[]> {
  const { rows } = await sql<{ host: string; site: string }>`
    DELETE FROM stale_intent WHERE (host, site) IN (
      SELECT host, site FROM stale_intent LIMIT ${limit} FOR UPDATE SKIP LOCKED
    ) RETURNING host, site`.execute(tx);
  return rows;
}
