import type { DeployerHost } from '@nixfleet/schema';
import type { Transaction } from 'kysely';
import type { DeployerTables } from './tables.ts';

/** Hosts by name, from after `after`. */
export async function selectHosts(tx: Transaction<DeployerTables>, limit: number, after = ''): Promise<DeployerHost[]> {
  const rows = await tx.selectFrom('host').selectAll().where('host', '>', after).orderBy('host').limit(limit).execute();
  return rows.map((row) => ({
    host: row.host,
    site: row.site,
    platform: row.platform,
    tags: row.tags,
    ...(row.role === null ? {} : { role: row.role }),
    ...(row.channel === null ? {} : { channel: row.channel }),
    ...(row.running_toplevel === null ? {} : { running: row.running_toplevel }),
    ...(row.confirmed_toplevel === null ? {} : { confirmed: row.confirmed_toplevel }),
    ...(row.confirmed_release === null ? {} : { confirmedRelease: row.confirmed_release }),
    ...(row.last_report_at === null ? {} : { lastReportAt: row.last_report_at.toISOString() }),
  }));
}
