import type { Heartbeat, HostHealth } from '@nixfleet/schema';
import { sql, type Transaction } from 'kysely';
import type { TelemetryTables } from './tables.ts';

type Tx = Transaction<TelemetryTables>;

export interface HostTransition {
  readonly host: string;
  readonly site: string;
  readonly lastSeenAt: Date | null;
}

/** A host exists from the moment a revision declares it, long before its first heartbeat. */
export async function upsertDeclaredHost(tx: Tx, host: string, site: string): Promise<void> {
  await tx
    .insertInto('host')
    .values({ host, site, state: 'new', interval_seconds: null, agent_version: null, boot_id: null, toplevel: null })
    .onConflict((conflict) => conflict.column('host').doUpdateSet({ site }))
    .execute();
}

/** Newest heartbeat of each host of a batch. */
function newestByHost(heartbeats: readonly Heartbeat[]): Heartbeat[] {
  return [...new Map(heartbeats.map((beat) => [beat.host, beat])).values()];
}

/** Applies a batch by receive time; returns the hosts that were not up before. */
export async function applyHeartbeats(
  tx: Tx,
  heartbeats: readonly Heartbeat[],
  receivedAt: Date,
): Promise<HostTransition[]> {
  const beats = newestByHost(heartbeats).toSorted((a, b) => (a.host < b.host ? -1 : 1));
  const hosts = beats.map((b) => b.host);
  // A statement of its own: within the one that writes, the rows would be locked before or after they are written,
  // as the planner likes, and one that this statement has written already is left out of a FOR UPDATE.
  const before = await tx
    .selectFrom('host')
    .select('host')
    .where('host', 'in', hosts)
    .where('state', '=', 'up')
    .orderBy('host')
    .forUpdate()
    .execute();
  const wasUp = new Set(before.map((row) => row.host));
  await sql`
    INSERT INTO host (host, site, state, last_seen_at, interval_seconds, agent_version, boot_id, toplevel)
    SELECT host, site, 'up', ${receivedAt}::timestamptz, interval_seconds, agent_version, boot_id, toplevel
    FROM unnest(${hosts}::text[], ${beats.map((b) => b.site)}::text[], ${beats.map((b) => b.intervalSeconds)}::integer[],
      ${beats.map((b) => b.agentVersion)}::text[], ${beats.map((b) => b.bootId)}::uuid[], ${beats.map((b) => b.toplevel ?? null)}::text[])
      AS b (host, site, interval_seconds, agent_version, boot_id, toplevel)
    ON CONFLICT (host) DO UPDATE SET state = 'up', site = excluded.site, last_seen_at = greatest(host.last_seen_at, excluded.last_seen_at),
      interval_seconds = excluded.interval_seconds, agent_version = excluded.agent_version, boot_id = excluded.boot_id, toplevel = coalesce(excluded.toplevel, host.toplevel)`.execute(
    tx,
  );
  return beats.filter((b) => !wasUp.has(b.host)).map((b) => ({ host: b.host, site: b.site, lastSeenAt: receivedAt }));
}

/** Heartbeats missed before a host counts as late, and as down. */
const lateAfter = 2;
const downAfter = 4;
const sweepBatch = 500;

/**
 * Judges hosts by when we last heard of them, never from before `servingSince`: our own outage makes nobody late. Returns
 * the hosts that went down.
 */
export async function sweepHosts(tx: Tx, servingSince: Date): Promise<HostTransition[]> {
  const overdue = (times: number) =>
    sql`greatest(last_seen_at, ${servingSince}::timestamptz) < now() - make_interval(secs => interval_seconds * ${times}::integer)`;
  await sql`UPDATE host SET state = 'late' WHERE host IN (
    SELECT host FROM host WHERE state = 'up' AND ${overdue(lateAfter)} LIMIT ${sweepBatch} FOR UPDATE SKIP LOCKED)`.execute(
    tx,
  );
  const { rows } = await sql<{
    host: string;
    site: string;
    last_seen_at: Date | null;
  }>`UPDATE host SET state = 'down' WHERE host IN (
    SELECT host FROM host WHERE state IN ('up', 'late') AND ${overdue(downAfter)} LIMIT ${sweepBatch} FOR UPDATE SKIP LOCKED) RETURNING host, site, last_seen_at`.execute(
    tx,
  );
  return rows.map((row) => ({ host: row.host, site: row.site, lastSeenAt: row.last_seen_at }));
}

/** Hosts by name, from after `after`. */
export async function selectHosts(tx: Tx, limit: number, after = ''): Promise<HostHealth[]> {
  const rows = await tx.selectFrom('host').selectAll().where('host', '>', after).orderBy('host').limit(limit).execute();
  return rows.map((row) => ({
    host: row.host,
    site: row.site,
    state: row.state,
    ...(row.last_seen_at === null ? {} : { lastSeenAt: row.last_seen_at.toISOString() }),
    ...(row.agent_version === null ? {} : { agentVersion: row.agent_version }),
    ...(row.toplevel === null ? {} : { toplevel: row.toplevel }),
  }));
}
