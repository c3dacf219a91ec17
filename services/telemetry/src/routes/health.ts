import { BackupDetail, BackupList, FleetError, HostHealthList, HostId, PageQuery } from '@nixfleet/schema';
import type { Database, HttpApp } from '@nixfleet/service';
import { Type } from 'typebox';
import { selectBackup, selectBackups } from '../store/backups.ts';
import { selectHosts } from '../store/hosts.ts';
import type { TelemetryTables } from '../store/tables.ts';

export interface HealthRoutesDeps {
  readonly db: Database<TelemetryTables>;
  /** Base of the ping URLs that are handed out. */
  readonly publicUrl: () => string;
}

const JobParams = Type.Object({ host: HostId, job: Type.String({ maxLength: 64 }) });

function readBackupCursor(cursor: string | undefined): { host: string; job: string } {
  if (cursor === undefined) return { host: '', job: '' };
  const [host, job, ...rest] = cursor.split('/');
  if (host === undefined || job === undefined || rest.length > 0)
    throw new FleetError('invalid_input', `${JSON.stringify(cursor)} is not a cursor of this list`);
  return { host, job };
}

/** Hosts and backups as telemetry knows them. */
export function addHealthRoutes(app: HttpApp, { db, publicUrl }: HealthRoutesDeps): void {
  app.get(
    '/v1/hosts',
    {
      config: { access: 'readonly' },
      schema: { summary: 'Health of hosts, by name', querystring: PageQuery, response: { 200: HostHealthList } },
    },
    async (request) => {
      const limit = request.query.limit ?? 100;
      const hosts = await db.transaction((tx) => selectHosts(tx, limit, request.query.cursor));
      const last = hosts.at(-1);
      return { hosts, ...(hosts.length < limit || last === undefined ? {} : { nextCursor: last.host }) };
    },
  );
  app.get(
    '/v1/backups',
    {
      config: { access: 'readonly' },
      schema: { summary: 'Backup jobs, by host', querystring: PageQuery, response: { 200: BackupList } },
    },
    async (request) => {
      const limit = request.query.limit ?? 100;
      const backups = await db.transaction((tx) => selectBackups(tx, limit, readBackupCursor(request.query.cursor)));
      const last = backups.at(-1);
      return {
        backups,
        ...(backups.length < limit || last === undefined ? {} : { nextCursor: `${last.host}/${last.job}` }),
      };
    },
  );
  // The ping URL is a secret: reading it needs the role that may act.
  app.get(
    '/v1/backups/:host/:job',
    {
      config: { access: 'deploy' },
      schema: {
        summary: 'One job with its last runs and its ping URL',
        params: JobParams,
        response: { 200: BackupDetail },
      },
    },
    async (request) => {
      const { backup, pingKey, runs } = await db.transaction((tx) =>
        selectBackup(tx, request.params.host, request.params.job),
      );
      return { ...backup, runs, pingUrl: `${publicUrl()}/ping/${pingKey}` };
    },
  );
}
