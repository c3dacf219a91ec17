import type { BuiltFleet } from '@nixfleet/fleet';
import { FleetError, HostId, PageQuery, RevisionDetail, RevisionList, SubmitRevision } from '@nixfleet/schema';
import type { Database, HttpApp } from '@nixfleet/service';
import { Type } from 'typebox';
import type { ResolverMetrics } from '../metrics.ts';
import { selectHostConfig, selectRevision, selectRevisions } from '../store/revisions.ts';
import type { ResolverTables } from '../store/tables.ts';
import { submitRevision } from '../submit.ts';

export interface RevisionRoutesDeps {
  readonly db: Database<ResolverTables>;
  readonly own: ResolverMetrics;
  readonly onResolved: (revision: string, fleet: BuiltFleet) => void;
}

/** A fleet of 20,000 host files. */
const submitBodyBytes = 128 * 1024 ** 2;
const RevisionParams = Type.Object({ revision: Type.String({ pattern: '^[0-9a-f]{8,64}$' }) });
const HostParams = Type.Object({ ...RevisionParams.properties, host: HostId });

function readCursor(cursor: string | undefined): Date | undefined {
  if (cursor === undefined) return undefined;
  const time = new Date(cursor);
  if (Number.isNaN(time.getTime()))
    throw new FleetError('invalid_input', `${JSON.stringify(cursor)} is not a cursor of this list`);
  return time;
}

export function addRevisionRoutes(app: HttpApp, { db, own, onResolved }: RevisionRoutesDeps): void {
  app.post(
    '/v1/revisions',
    {
      config: { access: 'deploy' },
      bodyLimit: submitBodyBytes,
      schema: {
        summary: 'Resolve a fleet; a wrong one is refused with every mistake, and nothing is stored',
        body: SubmitRevision,
        response: { 200: RevisionDetail, 201: RevisionDetail },
      },
    },
    async (request, reply) => {
      const { files, origin } = request.body;
      const stopTimer = own.resolveSeconds.startTimer();
      const submitted = await submitRevision(db, {
        files,
        createdBy: request.operator?.name ?? '',
        traceId: request.traceId,
        ...(origin === undefined ? {} : { origin }),
      }).catch((error: unknown) => {
        if (error instanceof FleetError && error.code === 'invalid_fleet') own.revisions.inc({ outcome: 'rejected' });
        throw error;
      });
      stopTimer();
      own.revisions.inc({ outcome: submitted.isNew ? 'resolved' : 'known' });
      onResolved(submitted.detail.revision, submitted.fleet);
      return reply.code(submitted.isNew ? 201 : 200).send(submitted.detail);
    },
  );
  app.get(
    '/v1/revisions',
    {
      config: { access: 'readonly' },
      schema: { summary: 'Revisions, newest first', querystring: PageQuery, response: { 200: RevisionList } },
    },
    async (request) => {
      const limit = request.query.limit ?? 100;
      const before = readCursor(request.query.cursor);
      const revisions = await db.transaction((tx) => selectRevisions(tx, limit, before));
      const last = revisions.at(-1);
      return { revisions, ...(revisions.length < limit || last === undefined ? {} : { nextCursor: last.createdAt }) };
    },
  );
  app.get(
    '/v1/revisions/:revision',
    {
      config: { access: 'readonly' },
      schema: {
        summary: 'One revision with its hosts',
        params: RevisionParams,
        response: { 200: RevisionDetail },
      },
    },
    async (request) => db.transaction((tx) => selectRevision(tx, request.params.revision)),
  );
  app.get(
    '/v1/revisions/:revision/hosts/:host/config',
    {
      config: { access: 'readonly' },
      schema: {
        summary: 'Every option of a host and its value',
        params: HostParams,
        response: { 200: Type.Record(Type.String(), Type.Unknown()) },
      },
    },
    async (request) =>
      db.transaction(async (tx) => {
        const { revision } = await selectRevision(tx, request.params.revision);
        return (await selectHostConfig(tx, revision, request.params.host)) as Record<string, unknown>;
      }),
  );
}
