import { FleetError, type ReleaseHost, type ReleaseSignature, type ReleaseSummary } from '@nixfleet/schema';
import { sql, type Transaction } from 'kysely';
import type { DeployerTables } from './tables.ts';

type Tx = Transaction<DeployerTables>;

export interface NewRelease {
  readonly release: string;
  readonly fleet: string;
  readonly revision: string;
  readonly hosts: readonly ReleaseHost[];
  readonly notes?: string;
  readonly createdBy: string;
}

/** Stores a release; the same content again is the same release. Returns whether it is new. */
export async function insertRelease(tx: Tx, release: NewRelease): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('release')
    .values({
      release: release.release,
      fleet: release.fleet,
      revision: release.revision,
      host_count: release.hosts.length,
      notes: release.notes ?? null,
      created_by: release.createdBy,
    })
    .onConflict((conflict) => conflict.column('release').doNothing())
    .executeTakeFirstOrThrow();
  if (numInsertedOrUpdatedRows === 0n) return false;
  await sql`
    INSERT INTO release_host (release, host, toplevel, closure_digest)
    SELECT ${release.release}, * FROM unnest(${release.hosts.map((h) => h.host)}::text[], ${release.hosts.map((h) => h.toplevel)}::text[],
      ${release.hosts.map((h) => h.closureDigest)}::text[])`.execute(tx);
  return true;
}

export async function selectReleaseHosts(tx: Tx, release: string): Promise<ReleaseHost[]> {
  const rows = await tx
    .selectFrom('release_host')
    .select(['host', 'toplevel', 'closure_digest'])
    .where('release', '=', release)
    .orderBy('host')
    .execute();
  return rows.map((row) => ({ host: row.host, toplevel: row.toplevel, closureDigest: row.closure_digest }));
}

/** The fleet's highest signed sequence; 0 when nothing has been signed. */
export async function selectLastSequence(tx: Tx, fleet?: string): Promise<number> {
  const query = tx.selectFrom('release_signature').select((eb) => eb.fn.max('sequence').as('last'));
  const row = await (fleet === undefined ? query : query.where('fleet', '=', fleet)).executeTakeFirst();
  return row?.last ?? 0;
}

/** Stores a signature; its sequence must be above every one that the fleet has used. */
export async function insertSignature(
  tx: Tx,
  fleet: string,
  signed: ReleaseSignature,
  createdBy: string,
): Promise<void> {
  // Two signers at once: the lock makes the second see the first one's sequence.
  await sql`SELECT pg_advisory_xact_lock(hashtext(${`release_signature ${fleet}`}))`.execute(tx);
  const last = await selectLastSequence(tx, fleet);
  if (signed.sequence <= last) {
    throw new FleetError(
      'conflict',
      `the signature has sequence ${signed.sequence}, fleet ${fleet} is at ${last}: sign again with ${last + 1} or more`,
    );
  }
  await tx
    .insertInto('release_signature')
    .values({
      fleet,
      sequence: signed.sequence,
      release: signed.release,
      issued_at: signed.issuedAt,
      expires_at: signed.expiresAt,
      merkle_root: signed.merkleRoot,
      tree_size: signed.treeSize,
      signature: signed.signature,
      created_by: createdBy,
    })
    .execute();
}

export async function selectSignature(
  tx: Tx,
  release: string,
  sequence?: number,
): Promise<ReleaseSignature | undefined> {
  let query = tx
    .selectFrom('release_signature')
    .selectAll()
    .where('release', '=', release)
    .orderBy('sequence', 'desc')
    .limit(1);
  if (sequence !== undefined) query = query.where('sequence', '=', sequence);
  const row = await query.executeTakeFirst();
  if (row === undefined) return undefined;
  return {
    release: row.release,
    sequence: row.sequence,
    issuedAt: row.issued_at,
    expiresAt: row.expires_at,
    merkleRoot: row.merkle_root,
    treeSize: row.tree_size,
    signature: row.signature,
  };
}

async function toSummary(
  tx: Tx,
  row: {
    release: string;
    fleet: string;
    revision: string;
    host_count: number;
    created_at: Date;
    created_by: string;
    notes: string | null;
  },
): Promise<ReleaseSummary> {
  const signature = await selectSignature(tx, row.release);
  return {
    release: row.release,
    fleet: row.fleet,
    revision: row.revision,
    hostCount: row.host_count,
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    ...(row.notes === null ? {} : { notes: row.notes }),
    ...(signature === undefined ? {} : { signature }),
  };
}

/** Finds a release by its id or by an unambiguous beginning of it (8 characters or more). */
export async function selectRelease(tx: Tx, idOrPrefix: string): Promise<ReleaseSummary> {
  const rows = await tx.selectFrom('release').selectAll().where('release', 'like', `${idOrPrefix}%`).limit(2).execute();
  const [row] = rows;
  if (row === undefined) throw new FleetError('not_found', `there is no release ${idOrPrefix}`);
  if (rows.length > 1) throw new FleetError('conflict', `several releases begin with ${idOrPrefix}: give more of it`);
  return toSummary(tx, row);
}

/** Newest first; `before` is the creation time of the last one of the page before. */
export async function selectReleases(tx: Tx, limit: number, before?: Date): Promise<ReleaseSummary[]> {
  let query = tx.selectFrom('release').selectAll().orderBy('created_at', 'desc').limit(limit);
  if (before !== undefined) query = query.where('created_at', '<', before);
  const rows = await query.execute();
  return Promise.all(rows.map((row) => toSummary(tx, row)));
}
