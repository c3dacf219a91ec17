import {
  type DeclaredJob,
  FleetError,
  type FleetFile,
  type RevisionDetail,
  type RevisionHost,
  type RevisionSummary,
  type System,
} from '@nixfleet/schema';
import { sql, type Transaction } from 'kysely';
import type { ResolverTables } from './tables.ts';

type Tx = Transaction<ResolverTables>;

export interface NewRevisionHost {
  readonly host: string;
  readonly site: string;
  readonly platform: System;
  readonly config: unknown;
  readonly configDigest: string;
  readonly toplevel: string;
  readonly closureDigest: string;
  readonly pathCount: number;
  readonly closureSizeBytes: number;
  readonly jobs: readonly DeclaredJob[];
}

export interface NewRevision {
  readonly revision: string;
  readonly fleet: string;
  readonly files: readonly FleetFile[];
  readonly origin?: string;
  readonly createdBy: string;
  readonly traceId: string;
  readonly hosts: readonly NewRevisionHost[];
}

/** Rows of hosts that one statement inserts: bounds what a statement's parameters take. */
const hostsPerInsert = 500;

/** Stores a resolved revision; false when it is known already (the same files are the same revision). */
export async function insertRevision(tx: Tx, revision: NewRevision): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('revision')
    .values({
      revision: revision.revision,
      fleet: revision.fleet,
      state: 'building',
      host_count: revision.hosts.length,
      origin: revision.origin ?? null,
      failure: null,
      files: JSON.stringify(revision.files),
      created_by: revision.createdBy,
      trace_id: revision.traceId,
    })
    .onConflict((conflict) => conflict.column('revision').doNothing())
    .executeTakeFirstOrThrow();
  if (numInsertedOrUpdatedRows === 0n) return false;
  for (let start = 0; start < revision.hosts.length; start += hostsPerInsert) {
    const rows = revision.hosts.slice(start, start + hostsPerInsert).map((host) => ({
      revision: revision.revision,
      host: host.host,
      site: host.site,
      platform: host.platform,
      config: JSON.stringify(host.config),
      config_digest: host.configDigest,
      toplevel: host.toplevel,
      closure_digest: host.closureDigest,
      path_count: host.pathCount,
      closure_size_bytes: host.closureSizeBytes,
      jobs: JSON.stringify(host.jobs),
    }));
    await tx.insertInto('revision_host').values(rows).execute();
  }
  return true;
}

const summaryColumns = sql<{
  revision: string;
  fleet: string;
  state: RevisionSummary['state'];
  host_count: number;
  built_count: number;
  origin: string | null;
  failure: string | null;
  created_by: string;
  created_at: Date;
}>`SELECT revision, fleet, state, host_count, origin, failure, created_by, created_at,
  (SELECT count(*)::integer FROM revision_host h WHERE h.revision = revision.revision AND h.built) AS built_count FROM revision`;

function toSummary(row: Awaited<ReturnType<(typeof summaryColumns)['execute']>>['rows'][number]): RevisionSummary {
  return {
    revision: row.revision,
    fleet: row.fleet,
    state: row.state,
    hostCount: row.host_count,
    builtCount: row.built_count,
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    ...(row.origin === null ? {} : { origin: row.origin }),
    ...(row.failure === null ? {} : { failure: row.failure }),
  };
}

type SummaryRow = Parameters<typeof toSummary>[0];

/** Newest first; `before` is the creation time of the last one of the page before. */
export async function selectRevisions(tx: Tx, limit: number, before?: Date): Promise<RevisionSummary[]> {
  const { rows } =
    await sql<SummaryRow>`${summaryColumns} WHERE ${before ?? null}::timestamptz IS NULL OR created_at < ${before ?? null}::timestamptz ORDER BY created_at DESC LIMIT ${limit}`.execute(
      tx,
    );
  return rows.map(toSummary);
}

export async function selectRevisionHosts(tx: Tx, revision: string): Promise<RevisionHost[]> {
  const rows = await tx
    .selectFrom('revision_host')
    .select(['host', 'site', 'platform', 'toplevel', 'closure_digest', 'path_count', 'closure_size_bytes', 'built'])
    .where('revision', '=', revision)
    .orderBy('host')
    .execute();
  return rows.map((row) => ({
    host: row.host,
    site: row.site,
    platform: row.platform,
    toplevel: row.toplevel,
    closureDigest: row.closure_digest,
    pathCount: row.path_count,
    closureSizeBytes: row.closure_size_bytes,
    built: row.built,
  }));
}

/** One revision by its id or an unambiguous beginning of it (8 characters or more). */
export async function selectRevision(tx: Tx, idOrPrefix: string): Promise<RevisionDetail> {
  const { rows } = await sql<SummaryRow>`${summaryColumns} WHERE revision LIKE ${`${idOrPrefix}%`} LIMIT 2`.execute(tx);
  const [row] = rows;
  if (row === undefined) throw new FleetError('not_found', `there is no revision ${idOrPrefix}`);
  if (rows.length > 1) throw new FleetError('conflict', `several revisions begin with ${idOrPrefix}: give more of it`);
  return { ...toSummary(row), hosts: await selectRevisionHosts(tx, row.revision) };
}

export async function selectHostConfig(tx: Tx, revision: string, host: string): Promise<unknown> {
  const row = await tx
    .selectFrom('revision_host')
    .select('config')
    .where('revision', '=', revision)
    .where('host', '=', host)
    .executeTakeFirst();
  if (row === undefined) throw new FleetError('not_found', `revision ${revision} has no host ${host}`);
  return row.config;
}

export interface BuildJob {
  readonly revision: string;
  readonly fleet: string;
  readonly files: readonly FleetFile[];
  readonly traceId: string;
  readonly tries: number;
}

/** Takes the oldest revision that waits to be built, for `leaseSeconds`; undefined when there is none. */
export async function leaseBuild(tx: Tx, leaseSeconds: number): Promise<BuildJob | undefined> {
  const { rows } = await sql<{ revision: string; fleet: string; files: FleetFile[]; trace_id: string; tries: number }>`
    UPDATE revision SET leased_until = now() + make_interval(secs => ${leaseSeconds}), tries = tries + 1
    WHERE revision = (
      SELECT revision FROM revision WHERE state = 'building' AND (leased_until IS NULL OR leased_until < now())
      ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED
    ) RETURNING revision, fleet, files, trace_id, tries`.execute(tx);
  const [row] = rows;
  return row === undefined
    ? undefined
    : { revision: row.revision, fleet: row.fleet, files: row.files, traceId: row.trace_id, tries: row.tries };
}

/** Keeps a build for `leaseSeconds` from now on. */
export async function renewBuild(tx: Tx, revision: string, leaseSeconds: number): Promise<void> {
  await sql`UPDATE revision SET leased_until = now() + make_interval(secs => ${leaseSeconds}) WHERE revision = ${revision} AND state = 'building'`.execute(
    tx,
  );
}

/** Gives a build back after a failure; it is tried again after the delay. */
export async function postponeBuild(tx: Tx, revision: string, delaySeconds: number, failure: string): Promise<void> {
  await sql`UPDATE revision SET leased_until = now() + make_interval(secs => ${delaySeconds}), failure = ${failure} WHERE revision = ${revision} AND state = 'building'`.execute(
    tx,
  );
}

/** Marks hosts as built; returns those that were not before, so that each is announced once. */
export async function markBuilt(tx: Tx, revision: string, hosts: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ host: string }>`
    UPDATE revision_host SET built = true WHERE revision = ${revision} AND host = ANY(${hosts}::text[]) AND NOT built RETURNING host`.execute(
    tx,
  );
  return rows.map((row) => row.host);
}

export async function finishBuild(
  tx: Tx,
  revision: string,
  state: 'built' | 'failed',
  failure?: string,
): Promise<void> {
  await tx
    .updateTable('revision')
    .set({ state, leased_until: null, failure: failure ?? null })
    .where('revision', '=', revision)
    .execute();
}
