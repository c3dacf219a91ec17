import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  BinaryCache,
  closureDigest,
  type NarInfo,
  type PublicKey,
  type RetryPolicy,
  removeTree,
  unpackNar,
  verifyNarInfo,
} from '@nixfleet/nix';
import { type AttemptReason, FleetError, type HostStatement } from '@nixfleet/schema';
import { exists, type HostRoot, inRoot } from './root.ts';

/** A closure that must not be run, or can't be had. */
export class ClosureError extends Error {
  readonly reason: AttemptReason;

  constructor(reason: AttemptReason, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'ClosureError';
    this.reason = reason;
  }
}

const maxClosurePaths = 100_000;
const concurrentFetches = 4;
/** Short: `AttemptRunner` asks again for as long as the attempt lasts, and another cache may be up. */
const retries: RetryPolicy = { attempts: 2, firstDelayMs: 200, maxDelayMs: 2000 };
const partialPrefix = '.nixfleet-partial-';

/**
 * Asks the caches in order; the next one is asked when one can't answer or answers nonsense. When none helps, a cache
 * that answered nonsense is what the report must name.
 */
async function fromAnyCache<T>(
  cacheUrls: readonly string[],
  signal: AbortSignal,
  nonsense: AttemptReason,
  ask: (cache: BinaryCache) => Promise<T>,
): Promise<T> {
  const problems: string[] = [];
  let reason: AttemptReason = 'closure_unavailable';
  for (const url of cacheUrls) {
    try {
      return await ask(new BinaryCache({ url, signal, retries }));
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof FleetError)) throw error;
      if (error.code === 'invalid_input') reason = nonsense;
      problems.push(`${url}: ${error.message}`);
    }
  }
  throw new ClosureError(reason, problems.join('; '));
}

/**
 * Narinfos of the whole closure, every one signed by a trusted cache key and all together exactly what the statement
 * says. The digest is what counts: a cache key that was stolen changes nothing.
 */
async function fetchVerifiedClosure(
  statement: HostStatement,
  cacheUrls: readonly string[],
  cacheKeys: readonly PublicKey[],
  signal: AbortSignal,
): Promise<NarInfo[]> {
  const closure = await fromAnyCache(cacheUrls, signal, 'untrusted_path', (cache) =>
    cache.fetchClosure(statement.toplevel, { maxPaths: maxClosurePaths, concurrency: 8 }),
  );
  for (const info of closure) {
    if (!verifyNarInfo(info, cacheKeys)) {
      throw new ClosureError(
        'untrusted_path',
        `${info.storePath} has no signature by a trusted cache key (${cacheKeys.map((key) => key.name).join(', ')})`,
      );
    }
  }
  const digest = closureDigest(closure);
  if (digest !== statement.closureDigest) {
    throw new ClosureError(
      'closure_mismatch',
      `the cache's closure of ${statement.toplevel} has digest ${digest}, the signed statement says ${statement.closureDigest}`,
    );
  }
  return closure;
}

/**
 * Fetches one path beside its final place, checks hash and size on the way, and moves it there in one step. False when
 * it was there before.
 */
async function installPath(
  root: HostRoot,
  info: NarInfo,
  cacheUrls: readonly string[],
  signal: AbortSignal,
): Promise<boolean> {
  const target = inRoot(root, info.storePath);
  if (await exists(target)) return false;
  const partial = join(root.storeDir, `${partialPrefix}${randomUUID()}`);
  try {
    await fromAnyCache(cacheUrls, signal, 'corrupt_nar', async (cache) => {
      await removeTree(partial);
      // The stream itself fails unless hash and size are those of the narinfo.
      await unpackNar(await cache.openNar(info), partial);
    });
    await rename(partial, target);
    return true;
  } catch (error) {
    await removeTree(partial);
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC')
      throw new ClosureError('storage_full', `no space left in ${root.storeDir}`, error);
    throw error;
  }
}

/** Waits for all, also when one fails: `onFailure` makes the others end soon. Throws the first failure. */
async function allOrNone(workers: readonly Promise<void>[], onFailure: () => void): Promise<void> {
  for (const worker of workers) worker.catch(onFailure);
  const results = await Promise.allSettled(workers);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Brings every path of the statement's closure into the root's store. Paths that are there are kept. */
export async function installClosure(
  root: HostRoot,
  statement: HostStatement,
  cacheUrls: readonly string[],
  cacheKeys: readonly PublicKey[],
  signal: AbortSignal,
): Promise<NarInfo[]> {
  await mkdir(root.storeDir, { recursive: true });
  await removePartials(root);
  const closure = await fetchVerifiedClosure(statement, cacheUrls, cacheKeys, signal);
  // The toplevel comes last: where it exists, all that it refers to exists.
  const queue = closure.toSorted(
    (a, b) => Number(a.storePath === statement.toplevel) - Number(b.storePath === statement.toplevel),
  );
  const toplevel = queue.pop();
  const installed: string[] = [];
  const install = async (info: NarInfo): Promise<void> => {
    if (await installPath(root, info, cacheUrls, signal)) installed.push(inRoot(root, info.storePath));
  };
  const workers = Array.from({ length: concurrentFetches }, async () => {
    for (let info = queue.pop(); info !== undefined; info = queue.pop()) await install(info);
  });
  try {
    await allOrNone(workers, () => queue.splice(0));
    if (toplevel !== undefined) await install(toplevel);
  } catch (error) {
    // A closure that does not fit gives back what it took: the host, and the journal, need the space.
    if (error instanceof ClosureError && error.reason === 'storage_full')
      for (const path of installed) await removeTree(path);
    throw error;
  }
  return closure;
}

/** What a killed agent left half unpacked. */
async function removePartials(root: HostRoot): Promise<void> {
  for (const name of await readdir(root.storeDir)) {
    if (basename(name).startsWith(partialPrefix)) await removeTree(join(root.storeDir, name));
  }
}
