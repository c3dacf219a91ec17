import { randomUUID } from 'node:crypto';
import { defaultExportLimits, type ExportedPath, hashPartOf, readExport } from '@nixfleet/nix';
import {
  type ClosureStatus,
  type ClosureSummary,
  closureAvailable,
  FleetError,
  maxPathsPerRequest,
  pathIndexed,
  type UploadResult,
} from '@nixfleet/schema';
import { type Database, publishEvents } from '@nixfleet/service';
import type { Transaction } from 'kysely';
import { describeClosure } from './core/closure.ts';
import { checkReferences, checkSameContents, planUpload, type UploadPlan } from './core/upload.ts';
import type { NarStorage, ReceivedNar } from './storage/nar-storage.ts';
import { insertClosures } from './store/closures.ts';
import { insertPaths, lockPresent, selectPresent, selectReachable } from './store/paths.ts';
import type { CacheTables } from './store/tables.ts';

/** How long an upload is safe from garbage collection without anything that refers to it. */
export const leaseMs = 24 * 3_600_000;

/** What one path-indexed event names: the contract's bound. */
const pathsPerEvent = 500;
/** Roots whose closures are described at a time: bounds the rows that are held in memory. */
const rootsPerBatch = 200;
/** Paths that the closures of one batch may reach. */
export const maxReachablePaths = 500_000;

export interface UploadDeps {
  readonly db: Database<CacheTables>;
  readonly storage: NarStorage;
  readonly maxUploadBytes: number;
}

export interface UploadContext {
  readonly nowMs: number;
  /** W3C trace id that the upload's events carry. */
  readonly traceId: string;
}

async function* limitBytes(source: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  let left = maxBytes;
  for await (const part of source) {
    left -= part.length;
    if (left < 0)
      throw new FleetError('too_large', `the upload has more than ${maxBytes} bytes: send it in several parts`);
    yield part;
  }
}

interface Received {
  readonly paths: readonly ExportedPath[];
  /** One for each NAR hash. */
  readonly nars: ReadonlyMap<string, ReceivedNar>;
}

/** Reads the stream to its end; NARs go to temporary files as they come, each noted in `files` at once. */
async function receive(deps: UploadDeps, source: AsyncIterable<Uint8Array>, files: ReceivedNar[]): Promise<Received> {
  const limits = { ...defaultExportLimits, maxPaths: maxPathsPerRequest };
  const paths: ExportedPath[] = [];
  const nars = new Map<string, ReceivedNar>();
  // Noted here and not below: a stream may break off between a NAR and what follows it.
  const store = async (nar: AsyncIterable<Uint8Array>): Promise<ReceivedNar> => {
    const file = await deps.storage.receive(nar);
    files.push(file);
    return file;
  };
  for await (const { received, ...path } of readExport(limitBytes(source, deps.maxUploadBytes), store, limits)) {
    nars.set(path.narHash.slice('sha256:'.length), received);
    paths.push(path);
  }
  return { paths, nars };
}

/** Closures of the upload's roots, which the transaction sees as they will be. */
async function describeRoots(tx: Transaction<CacheTables>, plan: UploadPlan): Promise<ClosureSummary[]> {
  const closures: ClosureSummary[] = [];
  for (let start = 0; start < plan.roots.length; start += rootsPerBatch) {
    const hashes = plan.roots.slice(start, start + rootsPerBatch).map(hashPartOf);
    const facts = await selectReachable(tx, hashes, maxReachablePaths);
    for (const hash of hashes) closures.push(requireComplete(describeClosure(hash, facts)));
  }
  return closures;
}

function requireComplete(status: ClosureStatus): ClosureSummary {
  if (status.state === 'complete') {
    const { state: _, ...summary } = status;
    return summary;
  }
  // Every path comes after what it refers to, so this is a hole that was there before: say where.
  const missing = status.state === 'incomplete' ? status.missing.slice(0, 20).join(', ') : 'the toplevel';
  throw new FleetError('conflict', `the cache has lost paths that the upload needs, send them too: ${missing}`);
}

/** Puts the upload's events into the outbox. */
async function announce(
  tx: Transaction<CacheTables>,
  upload: string,
  storePaths: readonly string[],
  closures: readonly ClosureSummary[],
  traceId: string,
): Promise<void> {
  const batches = [];
  for (let start = 0; start < storePaths.length; start += pathsPerEvent)
    batches.push({ upload, storePaths: storePaths.slice(start, start + pathsPerEvent) });
  await publishEvents(tx, pathIndexed, batches, { traceId });
  await publishEvents(tx, closureAvailable, [...closures], { traceId });
}

/** The upload's one transaction: rows, closures and events stand or fall together. */
async function commitUpload(
  tx: Transaction<CacheTables>,
  upload: string,
  plan: UploadPlan,
  context: UploadContext,
): Promise<UploadResult> {
  const { added, stored } = await insertPaths(tx, upload, plan.paths, new Date(context.nowMs + leaseMs));
  checkSameContents(plan, stored);
  checkReferences(plan, await lockPresent(tx, plan.outsideReferences));
  const closures = await describeRoots(tx, plan);
  await insertClosures(tx, closures);
  const addedPaths = plan.paths.filter((path) => added.has(hashPartOf(path.storePath)));
  await announce(
    tx,
    upload,
    addedPaths.map((path) => path.storePath),
    closures,
    context.traceId,
  );
  return {
    upload,
    added: addedPaths.length,
    known: plan.paths.length - addedPaths.length,
    narSizeBytes: addedPaths.reduce((sum, path) => sum + path.narSize, 0),
    closures,
  };
}

/**
 * Stores a whole upload or nothing of it. NARs are safely on disk before the rows that point at them commit; no path
 * becomes visible before all that it refers to. Throws `invalid_input` (malformed), `too_large`, `conflict` (missing
 * references, other contents under a path), `unavailable` (disk, Postgres).
 */
export async function storeUpload(
  deps: UploadDeps,
  source: AsyncIterable<Uint8Array>,
  context: UploadContext,
): Promise<UploadResult> {
  const files: ReceivedNar[] = [];
  try {
    const { paths, nars } = await receive(deps, source, files);
    const plan = planUpload(paths);
    // Asked before the disk work as well as in the transaction: an upload that can't stand leaves no NARs in place.
    checkReferences(plan, await deps.db.read((db) => selectPresent(db, plan.outsideReferences)));
    await deps.storage.keep(nars);
    const upload = randomUUID();
    return await deps.db.transaction((tx) => commitUpload(tx, upload, plan, context));
  } finally {
    // Those that were kept are no longer where they were received.
    await deps.storage.discard(files);
  }
}
