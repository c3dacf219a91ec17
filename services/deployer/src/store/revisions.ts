import type { ChannelList, RolloutPolicy, System } from '@nixfleet/schema';
import { sql, type Transaction } from 'kysely';
import { markIntentStale } from './stale-intents.ts';
import type { DeployerTables } from './tables.ts';

type Tx = Transaction<DeployerTables>;

/** Keeps a revision's channels; a repeat changes nothing. */
export async function insertRevision(
  tx: Tx,
  revision: { revision: string; fleet: string; hostCount: number; channels: Record<string, RolloutPolicy> },
): Promise<void> {
  await tx
    .insertInto('revision')
    .values({
      revision: revision.revision,
      fleet: revision.fleet,
      host_count: revision.hostCount,
      channels: JSON.stringify(revision.channels),
    })
    .onConflict((conflict) => conflict.column('revision').doNothing())
    .execute();
}

export interface ResolvedHost {
  readonly revision: string;
  readonly fleet: string;
  readonly host: string;
  readonly site: string;
  readonly platform: System;
  readonly role?: string;
  readonly channel?: string;
  readonly tags: readonly string[];
}

/** What the newest resolved revision says of a host. The intent at a site that it left is marked as stale. */
export async function upsertHost(tx: Tx, host: ResolvedHost): Promise<void> {
  const before = await tx
    .selectFrom('host')
    .select('site')
    .where('host', '=', host.host)
    .forUpdate()
    .executeTakeFirst();
  const values = {
    fleet: host.fleet,
    site: host.site,
    platform: host.platform,
    role: host.role ?? null,
    channel: host.channel ?? null,
    tags: [...host.tags],
    revision: host.revision,
  };
  await tx
    .insertInto('host')
    .values({ host: host.host, ...values })
    .onConflict((conflict) => conflict.column('host').doUpdateSet(values))
    .execute();
  if (before !== undefined && before.site !== host.site) await markIntentStale(tx, before.site, host);
}

export interface BuiltClosure {
  readonly revision: string;
  readonly host: string;
  readonly toplevel: string;
  readonly closureDigest: string;
  readonly pathCount: number;
  readonly closureSizeBytes: number;
}

export async function insertBuiltClosure(tx: Tx, closure: BuiltClosure): Promise<void> {
  await tx
    .insertInto('built_closure')
    .values({
      revision: closure.revision,
      host: closure.host,
      toplevel: closure.toplevel,
      closure_digest: closure.closureDigest,
      path_count: closure.pathCount,
      closure_size_bytes: closure.closureSizeBytes,
    })
    .onConflict((conflict) => conflict.columns(['revision', 'host']).doNothing())
    .execute();
}

/** Closures of a revision that cache-indexer holds, by host. */
export async function selectBuiltClosures(
  tx: Tx,
  revision: string,
): Promise<Map<string, { toplevel: string; closureDigest: string }>> {
  const rows = await tx
    .selectFrom('built_closure')
    .select(['host', 'toplevel', 'closure_digest'])
    .where('revision', '=', revision)
    .execute();
  return new Map(rows.map((row) => [row.host, { toplevel: row.toplevel, closureDigest: row.closure_digest }]));
}

/** Channels of every fleet, as the newest revision declares them, with how many hosts follow each. */
export async function selectChannels(tx: Tx): Promise<ChannelList['channels']> {
  const { rows } = await sql<{ fleet: string; channel: string; policy: RolloutPolicy; host_count: number }>`
    WITH newest AS (SELECT DISTINCT ON (fleet) fleet, channels FROM revision ORDER BY fleet, received_at DESC)
    SELECT newest.fleet, entry.key AS channel, entry.value AS policy,
           (SELECT count(*)::integer FROM host WHERE host.fleet = newest.fleet AND host.channel = entry.key) AS host_count
    FROM newest, jsonb_each(newest.channels) AS entry ORDER BY newest.fleet, entry.key`.execute(tx);
  return rows.map((row) => ({ channel: row.channel, fleet: row.fleet, hostCount: row.host_count, policy: row.policy }));
}
