import type { BuiltFleet, BuiltHost } from '@nixfleet/fleet';
import { type FleetFile, hostResolved, type RevisionDetail, revisionResolved } from '@nixfleet/schema';
import { type Database, publishEvent, publishEvents } from '@nixfleet/service';
import { buildPolitely } from './build-politely.ts';
import { insertRevision, type NewRevisionHost, selectRevision } from './store/revisions.ts';
import type { ResolverTables } from './store/tables.ts';

export interface Submission {
  readonly files: readonly FleetFile[];
  readonly origin?: string;
  readonly createdBy: string;
  readonly traceId: string;
}

const toRow = (host: BuiltHost): NewRevisionHost => ({
  host: host.host,
  site: host.site,
  platform: host.platform,
  config: host.config,
  configDigest: host.configDigest,
  toplevel: host.toplevel,
  closureDigest: host.closureDigest,
  pathCount: host.paths.length,
  closureSizeBytes: host.paths.reduce((sum, path) => sum + path.narSize, 0),
  jobs: host.jobs,
});

const toEvent = (fleet: BuiltFleet, host: BuiltHost) => ({
  revision: fleet.revision,
  fleet: fleet.fleet,
  host: host.host,
  site: host.site,
  ...(host.channel === undefined ? {} : { channel: host.channel }),
  platform: host.platform,
  ...(host.role === undefined ? {} : { role: host.role }),
  tags: [...host.tags],
  configDigest: host.configDigest,
  toplevel: host.toplevel,
  jobs: [...host.jobs],
});

/**
 * Resolves a fleet and stores what came out together with its events. Throws `invalid_fleet` with every mistake; then
 * nothing is stored. The same files again are the same revision: nothing is stored or announced twice.
 */
export async function submitRevision(
  db: Database<ResolverTables>,
  submission: Submission,
): Promise<{ fleet: BuiltFleet; detail: RevisionDetail; isNew: boolean }> {
  const fleet = await buildPolitely(submission.files);
  const { createdBy, traceId, origin } = submission;
  return db.transaction(async (tx) => {
    const isNew = await insertRevision(tx, {
      revision: fleet.revision,
      fleet: fleet.fleet,
      files: fleet.files,
      createdBy,
      traceId,
      hosts: fleet.hosts.map(toRow),
      ...(origin === undefined ? {} : { origin }),
    });
    if (isNew) {
      const { revision, sites, channels } = fleet;
      const data = { revision, fleet: fleet.fleet, hostCount: fleet.hosts.length, channels, sites: [...sites] };
      await publishEvent(tx, revisionResolved, data, { traceId });
      const hosts = fleet.hosts.map((host) => toEvent(fleet, host));
      await publishEvents(tx, hostResolved, hosts, { traceId });
    }
    return { fleet, isNew, detail: await selectRevision(tx, fleet.revision) };
  });
}
