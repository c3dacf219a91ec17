import type { PublicKey } from '@nixfleet/nix';
import {
  CreateRelease,
  FleetError,
  PageQuery,
  ReleaseDetail,
  type ReleaseHost,
  ReleaseList,
  ReleaseSignature,
  releaseCreated,
} from '@nixfleet/schema';
import { type Database, type HttpApp, publishEvent } from '@nixfleet/service';
import { releaseId, verifyRelease } from '@nixfleet/trust';
import type { Transaction } from 'kysely';
import { Type } from 'typebox';
import { cursorOfTime, nextCursor, timeOfCursor } from '../pages.ts';
import { appendAudit } from '../store/audit.ts';
import {
  insertRelease,
  insertSignature,
  selectLastSequence,
  selectRelease,
  selectReleaseHosts,
  selectReleases,
} from '../store/releases.ts';
import { selectBuiltClosures } from '../store/revisions.ts';
import type { DeployerTables } from '../store/tables.ts';

export interface ReleaseRoutesDeps {
  readonly db: Database<DeployerTables>;
  readonly releaseKeys: readonly PublicKey[];
}

type Tx = Transaction<DeployerTables>;

/** A fleet of 200,000 hosts in one release. */
const releaseBodyBytes = 64 * 1024 ** 2;
const ReleaseParams = Type.Object({ release: Type.String({ pattern: '^[0-9a-f]{8,64}$' }) });

/** Only closures that the cache holds may be in a release: an intent must never name what can't be fetched. */
function checkBuilt(
  hosts: readonly ReleaseHost[],
  built: ReadonlyMap<string, { toplevel: string; closureDigest: string }>,
  revision: string,
): void {
  const wrong = hosts.filter(
    (h) => built.get(h.host)?.toplevel !== h.toplevel || built.get(h.host)?.closureDigest !== h.closureDigest,
  );
  if (wrong.length === 0) return;
  const named = wrong
    .slice(0, 3)
    .map((h) => `${h.host} (${built.has(h.host) ? `built as ${built.get(h.host)?.toplevel ?? ''}` : 'not built yet'})`);
  throw new FleetError(
    'conflict',
    `${wrong.length} of ${hosts.length} closures of revision ${revision} are not in the cache: ${named.join(', ')}`,
  );
}

async function storeSignature(
  tx: Tx,
  deps: ReleaseRoutesDeps,
  content: { fleet: string; revision: string; hosts: readonly ReleaseHost[] },
  signature: ReleaseSignature,
  actor: string,
  traceId: string,
): Promise<void> {
  const verdict = verifyRelease(content, signature, deps.releaseKeys);
  if (!verdict.ok) throw new FleetError('invalid_signature', verdict.detail);
  await insertSignature(tx, content.fleet, signature, actor);
  const { release, sequence } = signature;
  await publishEvent(
    tx,
    releaseCreated,
    { release, fleet: content.fleet, revision: content.revision, sequence, hostCount: content.hosts.length },
    { traceId },
  );
  await appendAudit(tx, {
    actor,
    action: 'release-signed',
    subject: `release ${release}`,
    detail: { sequence, key: signature.signature.split(':')[0] ?? '' },
  });
}

async function selectDetail(tx: Tx, id: string): Promise<ReleaseDetail> {
  const summary = await selectRelease(tx, id);
  return { ...summary, hosts: await selectReleaseHosts(tx, summary.release) };
}

export function addReleaseRoutes(app: HttpApp, deps: ReleaseRoutesDeps): void {
  const { db } = deps;
  app.post(
    '/v1/releases',
    {
      config: { access: 'deploy' },
      bodyLimit: releaseBodyBytes,
      schema: {
        summary: 'Store a release; every closure must be in the cache',
        body: CreateRelease,
        response: { 201: ReleaseDetail },
      },
    },
    async (request, reply) => {
      const { fleet, revision, hosts, notes, signature } = request.body;
      const actor = request.operator?.name ?? '';
      const release = releaseId({ fleet, hosts });
      const detail = await db.transaction(async (tx) => {
        checkBuilt(hosts, await selectBuiltClosures(tx, revision), revision);
        const isNew = await insertRelease(tx, {
          release,
          fleet,
          revision,
          hosts,
          createdBy: actor,
          ...(notes === undefined ? {} : { notes }),
        });
        if (isNew)
          await appendAudit(tx, {
            actor,
            action: 'release-created',
            subject: `release ${release}`,
            detail: { revision, hosts: hosts.length },
          });
        if (signature !== undefined)
          await storeSignature(tx, deps, { fleet, revision, hosts }, signature, actor, request.traceId);
        return selectDetail(tx, release);
      });
      return reply.code(201).send(detail);
    },
  );
  app.post(
    '/v1/releases/:release/signatures',
    {
      config: { access: 'deploy' },
      schema: {
        summary: 'Sign a stored release, or renew its dates',
        params: ReleaseParams,
        body: ReleaseSignature,
        response: { 201: ReleaseDetail },
      },
    },
    async (request, reply) => {
      const actor = request.operator?.name ?? '';
      const detail = await db.transaction(async (tx) => {
        const stored = await selectDetail(tx, request.params.release);
        await storeSignature(tx, deps, stored, request.body, actor, request.traceId);
        return selectDetail(tx, stored.release);
      });
      return reply.code(201).send(detail);
    },
  );
  app.get(
    '/v1/releases',
    {
      config: { access: 'readonly' },
      schema: { summary: 'Releases, newest first', querystring: PageQuery, response: { 200: ReleaseList } },
    },
    async (request) => {
      const limit = request.query.limit ?? 100;
      return db.transaction(async (tx) => {
        const releases = await selectReleases(tx, limit, timeOfCursor(request.query.cursor));
        return {
          releases,
          lastSequence: await selectLastSequence(tx),
          ...nextCursor(releases, limit, (r) => cursorOfTime(r.createdAt)),
        };
      });
    },
  );
  app.get(
    '/v1/releases/:release',
    {
      config: { access: 'readonly' },
      schema: { summary: 'One release with every host', params: ReleaseParams, response: { 200: ReleaseDetail } },
    },
    async (request) => db.transaction((tx) => selectDetail(tx, request.params.release)),
  );
}
