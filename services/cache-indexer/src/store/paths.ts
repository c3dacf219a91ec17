import { type ExportedPath, parseStorePath, storeDir } from '@nixfleet/nix';
import { FleetError } from '@nixfleet/schema';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { IndexedPath } from '../core/narinfo.ts';
import type { StoredContents } from '../core/upload.ts';
import type { CacheTables } from './tables.ts';

type Db = Kysely<CacheTables>;
type Tx = Transaction<CacheTables>;

/** Edges that one statement inserts. */
const edgesPerInsert = 20_000;

/** What a column holds of a hash: nix32 without its `sha256:`. */
const narHashColumn = (narHash: string): string => narHash.slice('sha256:'.length);

interface PathRow {
  readonly store_hash: string;
  readonly name: string;
  readonly nar_hash: string;
  readonly nar_size: number;
  readonly deriver: string | null;
  /** Base names, sorted. */
  readonly reference_names: string[];
}

const toIndexedPath = (row: PathRow): IndexedPath => ({
  storePath: `${storeDir}/${row.store_hash}-${row.name}`,
  narHash: `sha256:${row.nar_hash}`,
  narSize: row.nar_size,
  references: row.reference_names.map((baseName) => `${storeDir}/${baseName}`),
  ...(row.deriver === null ? {} : { deriver: `${storeDir}/${row.deriver}` }),
});

const pathColumns = sql`p.store_hash, p.name, p.nar_hash, p.nar_size, p.deriver, ARRAY(
  SELECT r.reference_hash || '-' || r.reference_name FROM path_reference r
  WHERE r.referrer_hash = p.store_hash ORDER BY r.reference_hash) AS reference_names`;

/** One path with its references, by its hash part. */
export async function selectPath(db: Db, storeHash: string): Promise<IndexedPath | undefined> {
  const { rows } = await sql<PathRow>`SELECT ${pathColumns} FROM path p WHERE p.store_hash = ${storeHash}`.execute(db);
  return rows[0] === undefined ? undefined : toIndexedPath(rows[0]);
}

/**
 * All known paths that can be reached from some roots, by hash part. Throws `too_large` above `maxPaths`, so that one
 * question can't take the service's memory.
 */
export async function selectReachable(
  db: Db,
  rootHashes: readonly string[],
  maxPaths: number,
): Promise<Map<string, IndexedPath>> {
  const { rows } = await sql<PathRow>`
    WITH RECURSIVE reachable (store_hash) AS (
      SELECT unnest(${rootHashes}::text[])
      UNION SELECT r.reference_hash FROM reachable JOIN path_reference r ON r.referrer_hash = reachable.store_hash
    )
    SELECT ${pathColumns} FROM path p JOIN reachable USING (store_hash) LIMIT ${maxPaths + 1}`.execute(db);
  if (rows.length > maxPaths) throw new FleetError('too_large', `the closure has more than ${maxPaths} paths`);
  return new Map(rows.map((row) => [row.store_hash, toIndexedPath(row)]));
}

/** Those of some paths that are here, under exactly these names. */
export async function selectPresent(db: Db, storePaths: readonly string[]): Promise<Set<string>> {
  const { rows } = await sql<{ path: string }>`
    SELECT asked.path FROM unnest(${storePaths}::text[]) AS asked (path)
    JOIN path p ON p.store_hash = substr(asked.path, 12, 32) AND p.name = substr(asked.path, 45)`.execute(db);
  return new Set(rows.map((row) => row.path));
}

/** The same, held until the transaction ends: nobody can delete them in between. */
export async function lockPresent(tx: Tx, storePaths: readonly string[]): Promise<Set<string>> {
  const { rows } = await sql<{ path: string }>`
    SELECT ${`${storeDir}/`} || p.store_hash || '-' || p.name AS path FROM path p
    WHERE p.store_hash = ANY(${storePaths.map((path) => parseStorePath(path).hashPart)}::text[])
    ORDER BY p.store_hash FOR KEY SHARE`.execute(tx);
  const present = new Set(rows.map((row) => row.path));
  return new Set(storePaths.filter((path) => present.has(path)));
}

/** Extends leases that end before `renewBefore`. Rows that another transaction holds are being extended by it. */
export async function extendLeases(
  db: Db,
  storePaths: readonly string[],
  leaseUntil: Date,
  renewBefore: Date,
): Promise<void> {
  await sql`
    UPDATE path SET lease_until = ${leaseUntil} WHERE store_hash IN (
      SELECT store_hash FROM path WHERE store_hash = ANY(${storePaths.map((path) => parseStorePath(path).hashPart)}::text[])
        AND lease_until < ${renewBefore}
      ORDER BY store_hash FOR NO KEY UPDATE SKIP LOCKED)`.execute(db);
}

export interface InsertedPaths {
  /** Hash parts of the paths that are new. */
  readonly added: ReadonlySet<string>;
  /** What stands now under every hash part that was given. */
  readonly stored: ReadonlyMap<string, StoredContents>;
}

/**
 * Inserts paths with their references; what is known keeps its row and gets the longer lease. The caller compares
 * `stored` with what it gave, and rolls back when it differs. Paths must be sorted: rows are locked in that order.
 */
export async function insertPaths(
  tx: Tx,
  upload: string,
  paths: readonly ExportedPath[],
  leaseUntil: Date,
): Promise<InsertedPaths> {
  const parsed = paths.map((path) => ({ ...parseStorePath(path.storePath), facts: path }));
  const { rows } = await sql<{ store_hash: string; name: string; nar_hash: string; inserted: boolean }>`
    INSERT INTO path (store_hash, name, nar_hash, nar_size, deriver, upload, lease_until)
    SELECT store_hash, name, nar_hash, nar_size, deriver, ${upload}, ${leaseUntil}
    FROM unnest(${parsed.map((p) => p.hashPart)}::text[], ${parsed.map((p) => p.name)}::text[],
      ${parsed.map((p) => narHashColumn(p.facts.narHash))}::text[], ${parsed.map((p) => p.facts.narSize)}::bigint[],
      ${parsed.map((p) => p.facts.deriver?.slice(storeDir.length + 1) ?? null)}::text[])
      AS given (store_hash, name, nar_hash, nar_size, deriver)
    ORDER BY store_hash
    ON CONFLICT (store_hash) DO UPDATE SET lease_until = greatest(path.lease_until, excluded.lease_until)
    RETURNING store_hash, name, nar_hash, xmax = 0 AS inserted`.execute(tx);
  const added = new Set(rows.filter((row) => row.inserted).map((row) => row.store_hash));
  await insertReferences(
    tx,
    parsed.filter((p) => added.has(p.hashPart)),
  );
  const stored = rows.map((row): [string, StoredContents] => [
    row.store_hash,
    { storePath: `${storeDir}/${row.store_hash}-${row.name}`, narHash: `sha256:${row.nar_hash}` },
  ]);
  return { added, stored: new Map(stored) };
}

async function insertReferences(
  tx: Tx,
  paths: readonly { readonly hashPart: string; readonly facts: ExportedPath }[],
): Promise<void> {
  const edges = paths.flatMap(({ hashPart, facts }) =>
    facts.references.map((reference) => ({ referrer: hashPart, reference: parseStorePath(reference) })),
  );
  for (let start = 0; start < edges.length; start += edgesPerInsert) {
    const batch = edges.slice(start, start + edgesPerInsert);
    await sql`
      INSERT INTO path_reference (referrer_hash, reference_hash, reference_name)
      SELECT * FROM unnest(${batch.map((e) => e.referrer)}::text[], ${batch.map((e) => e.reference.hashPart)}::text[],
        ${batch.map((e) => e.reference.name)}::text[])
      ON CONFLICT DO NOTHING`.execute(tx);
  }
}
