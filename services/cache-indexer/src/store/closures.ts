import { hashPartOf } from '@nixfleet/nix';
import type { ClosureSummary } from '@nixfleet/schema';
import { sql, type Transaction } from 'kysely';
import type { CacheTables } from './tables.ts';

/** Records closures that are complete. What is recorded already stays: a toplevel's closure never changes. */
export async function insertClosures(tx: Transaction<CacheTables>, closures: readonly ClosureSummary[]): Promise<void> {
  await sql`
    INSERT INTO closure (toplevel_hash, closure_digest, path_count, closure_size_bytes)
    SELECT * FROM unnest(${closures.map((c) => hashPartOf(c.toplevel))}::text[], ${closures.map((c) => c.closureDigest)}::text[],
      ${closures.map((c) => c.pathCount)}::integer[], ${closures.map((c) => c.closureSizeBytes)}::bigint[])
    ON CONFLICT (toplevel_hash) DO NOTHING`.execute(tx);
}
