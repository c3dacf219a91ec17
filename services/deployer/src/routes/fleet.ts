import { AuditList, ChannelList, DeployerHostList, FleetError, PageQuery } from '@nixfleet/schema';
import type { Database, HttpApp } from '@nixfleet/service';
import { nextCursor } from '../pages.ts';
import { selectAudit } from '../store/audit.ts';
import { selectHosts } from '../store/hosts.ts';
import { selectChannels } from '../store/revisions.ts';
import type { DeployerTables } from '../store/tables.ts';

/** Hosts, channels and the audit log: what there is to read beside releases and rollouts. */
export function addFleetRoutes(app: HttpApp, db: Database<DeployerTables>): void {
  app.get(
    '/v1/hosts',
    {
      config: { access: 'readonly' },
      schema: { summary: 'Hosts by name', querystring: PageQuery, response: { 200: DeployerHostList } },
    },
    async (request) => {
      const limit = request.query.limit ?? 100;
      const hosts = await db.transaction((tx) => selectHosts(tx, limit, request.query.cursor));
      return { hosts, ...nextCursor(hosts, limit, (h) => h.host) };
    },
  );
  app.get(
    '/v1/channels',
    {
      config: { access: 'readonly' },
      schema: { summary: 'Channels with their policies', response: { 200: ChannelList } },
    },
    async () => ({ channels: await db.transaction(selectChannels) }),
  );
  app.get(
    '/v1/audit',
    {
      config: { access: 'admin' },
      schema: {
        summary: 'The audit log, oldest first; each entry holds the hash of the one before',
        querystring: PageQuery,
        response: { 200: AuditList },
      },
    },
    async (request) => {
      const after = Number(request.query.cursor ?? 0);
      if (!Number.isSafeInteger(after) || after < 0)
        throw new FleetError('invalid_input', `${JSON.stringify(request.query.cursor)} is not a cursor of this list`);
      const limit = request.query.limit ?? 100;
      const entries = await db.transaction((tx) => selectAudit(tx, after, limit));
      return { entries, ...nextCursor(entries, limit, (entry) => String(entry.sequence)) };
    },
  );
}
