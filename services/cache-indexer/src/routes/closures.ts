import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { isHashPart } from '@nixfleet/nix';
import {
  ClosureStatus,
  FleetError,
  MissingPaths,
  MissingPathsQuery,
  nixExportContentType,
  UploadResult,
} from '@nixfleet/schema';
import type { Database, HttpApp } from '@nixfleet/service';
import { Type } from 'typebox';
import { describeClosure } from '../core/closure.ts';
import { type CacheMetrics, uploadOutcomeOf } from '../metrics.ts';
import type { NarStorage } from '../storage/nar-storage.ts';
import { extendLeases, selectPresent, selectReachable } from '../store/paths.ts';
import type { CacheTables } from '../store/tables.ts';
import { leaseMs, maxReachablePaths, storeUpload } from '../uploads.ts';

export interface ClosureDeps {
  readonly db: Database<CacheTables>;
  readonly storage: NarStorage;
  readonly metrics: CacheMetrics;
  readonly maxUploadBytes: number;
}

/** 50,000 store paths of the greatest length. */
const missingPathsBodyBytes = 16 * 1024 ** 2;
/** Leases are extended once they have lost this much: asking often costs no writes. */
const leaseRenewalMs = 3_600_000;

const drainedBytes = 4 * 1024 ** 2;
const drainMs = 1000;

/**
 * Reads some of what is left of a refused body: who is still sending when the connection closes never sees the answer.
 * The whole of it is not worth reading.
 */
async function drain(body: Readable): Promise<void> {
  const read = async (): Promise<void> => {
    let left = drainedBytes;
    for await (const part of body.iterator({ destroyOnReturn: false })) {
      left -= (part as Buffer).length;
      if (left <= 0) return;
    }
  };
  const reading = read();
  reading.catch(() => undefined);
  await Promise.race([reading, sleep(drainMs)]);
}

/** Uploads, and questions about what is here. */
export function registerClosures(app: HttpApp, deps: ClosureDeps): void {
  // The stream itself is the body: it is read, checked and stored as it comes.
  app.addContentTypeParser(nixExportContentType, (_, payload, done) => done(null, payload));

  app.post<{ Body: Readable }>(
    '/v1/closures',
    {
      config: { access: 'deploy' },
      bodyLimit: deps.maxUploadBytes,
      schema: { tags: ['closures'], consumes: [nixExportContentType], response: { 201: UploadResult } },
    },
    async (request, reply) => {
      if (request.headers['content-type'] !== nixExportContentType)
        throw new FleetError('invalid_input', `the body must be of type ${nixExportContentType}`);
      try {
        // Left open on errors: the answer still has to go out on its connection.
        const body = request.body.iterator({ destroyOnReturn: false });
        const result = await storeUpload(deps, body, { nowMs: Date.now(), traceId: request.traceId });
        deps.metrics.uploads.inc({ outcome: 'stored' });
        deps.metrics.uploadedPaths.inc(result.added);
        deps.metrics.uploadedNarBytes.inc(result.narSizeBytes);
        return await reply.code(201).send(result);
      } catch (error) {
        deps.metrics.uploads.inc({ outcome: uploadOutcomeOf(error) });
        await drain(request.body).catch(() => undefined);
        reply.header('connection', 'close');
        throw error;
      }
    },
  );

  app.post(
    '/v1/paths/missing',
    {
      config: { access: 'deploy' },
      bodyLimit: missingPathsBodyBytes,
      schema: { tags: ['closures'], body: MissingPathsQuery, response: { 200: MissingPaths } },
    },
    async (request) => {
      const { storePaths } = request.body;
      const now = Date.now();
      const present = await deps.db.transaction(async (tx) => {
        await extendLeases(tx, storePaths, new Date(now + leaseMs), new Date(now + leaseMs - leaseRenewalMs));
        return selectPresent(tx, storePaths);
      });
      return { missing: storePaths.filter((path) => !present.has(path)) };
    },
  );

  app.get(
    '/v1/closures/:storeHash',
    {
      config: { access: 'readonly' },
      schema: {
        tags: ['closures'],
        params: Type.Object({ storeHash: Type.String({ minLength: 32, maxLength: 32 }) }),
        response: { 200: ClosureStatus },
      },
    },
    async (request) => {
      const { storeHash } = request.params;
      if (!isHashPart(storeHash))
        throw new FleetError('invalid_input', `${JSON.stringify(storeHash)} is not the hash part of a store path`);
      return describeClosure(
        storeHash,
        await deps.db.read((db) => selectReachable(db, [storeHash], maxReachablePaths)),
      );
    },
  );
}
