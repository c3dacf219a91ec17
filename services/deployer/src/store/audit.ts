import { createHash } from 'node:crypto';
import type { AuditEntry } from '@nixfleet/schema';
import { canonicalBytes } from '@nixfleet/trust';
import { sql, type Transaction } from 'kysely';
import type { DeployerTables } from './tables.ts';

type Tx = Transaction<DeployerTables>;

const firstHash = '0'.repeat(64);

export interface AuditRecord {
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly detail: Record<string, unknown>;
}

/** SHA-256 hex over the canonical JSON of an entry without its own hash; the entry before it is in it. */
export function auditHash(entry: Omit<AuditEntry, 'hash'>): string {
  return createHash('sha256').update(canonicalBytes(entry)).digest('hex');
}

/** Adds an entry to the chain. Entries of all deployers are one chain: the lock orders them. */
export async function appendAudit(tx: Tx, record: AuditRecord): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtext('deployer audit'))`.execute(tx);
  const last = await tx
    .selectFrom('audit')
    .select(['sequence', 'hash'])
    .orderBy('sequence', 'desc')
    .limit(1)
    .executeTakeFirst();
  const entry = {
    sequence: (last?.sequence ?? 0) + 1,
    at: new Date().toISOString(),
    ...record,
    previousHash: last?.hash ?? firstHash,
  };
  await tx
    .insertInto('audit')
    .values({
      sequence: entry.sequence,
      at: entry.at,
      actor: entry.actor,
      action: entry.action,
      subject: entry.subject,
      detail: JSON.stringify(entry.detail),
      previous_hash: entry.previousHash,
      hash: auditHash(entry),
    })
    .execute();
}

/** Oldest first. */
export async function selectAudit(tx: Tx, after: number, limit: number): Promise<AuditEntry[]> {
  const rows = await tx
    .selectFrom('audit')
    .selectAll()
    .where('sequence', '>', after)
    .orderBy('sequence')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    sequence: row.sequence,
    at: row.at,
    actor: row.actor,
    action: row.action,
    subject: row.subject,
    detail: row.detail,
    previousHash: row.previous_hash,
    hash: row.hash,
  }));
}
