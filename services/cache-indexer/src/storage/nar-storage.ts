import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FleetError } from '@nixfleet/schema';
import { describeInstance, formatInstance, isGone } from './instance.ts';

/** Temporary files older than this are of an upload that died, also where nobody can see whether its process lives. */
const abandonedAfterMs = 24 * 3_600_000;
const concurrentSyncs = 16;
const narHashPattern = /^[01][0-9a-df-np-sv-z]{51}$/;

/** A NAR that has been received and is not in its place yet. */
export interface ReceivedNar {
  readonly file: string;
}

export interface OpenNar extends AsyncDisposable {
  readonly handle: FileHandle;
  readonly sizeBytes: number;
}

/**
 * NARs on disk, uncompressed, named by their own hash: `nar/<2 characters>/<nar52>.nar`. Two instances may share the
 * directory. The marker file tells an empty cache from a file system that is not mounted.
 */
export class NarStorage {
  readonly dir: string;
  readonly #instance = describeInstance();

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** Creates what is missing and removes what dead uploads left. File system errors pass through. */
  static async open(dir: string, nowMs: number): Promise<NarStorage> {
    const storage = new NarStorage(dir);
    await mkdir(join(dir, 'nar'), { recursive: true });
    await mkdir(join(dir, 'tmp'), { recursive: true });
    await writeFile(storage.#marker, 'nixfleet cache storage, format 1\n');
    for (const name of await readdir(join(dir, 'tmp'))) {
      const file = join(dir, 'tmp', name);
      // Another instance may keep or discard it just now.
      const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: nowMs }));
      const abandoned = isGone(name.split('.')[0] ?? '', storage.#instance) || nowMs - mtimeMs > abandonedAfterMs;
      if (abandoned) await rm(file, { force: true });
    }
    return storage;
  }

  get #marker(): string {
    return join(this.dir, 'nixfleet-cache');
  }

  #placeOf(nar52: string): string {
    if (!narHashPattern.test(nar52)) throw new FleetError('not_found', 'no NAR has that name');
    return join(this.dir, 'nar', nar52.slice(0, 2), `${nar52}.nar`);
  }

  /** Writes a NAR to a temporary file. It is on disk for sure only after `keep`. Removes the file when it fails. */
  async receive(nar: AsyncIterable<Uint8Array>): Promise<ReceivedNar> {
    const file = join(this.dir, 'tmp', `${formatInstance(this.#instance)}.${randomUUID()}`);
    try {
      await writeFile(file, nar, { flag: 'wx', mode: 0o644 });
    } catch (error) {
      await rm(file, { force: true });
      throw asStorageError(error);
    }
    return { file };
  }

  /**
   * Syncs received NARs and moves them into place, by hash; then the directories are synced: what this returns from
   * survives a power cut. A NAR that is there already is the same one.
   */
  async keep(nars: ReadonlyMap<string, ReceivedNar>): Promise<void> {
    const queue = [...nars];
    const dirs = new Set(queue.map(([nar52]) => join(this.dir, 'nar', nar52.slice(0, 2))));
    await Promise.all([...dirs].map((dir) => mkdir(dir, { recursive: true })));
    const worker = async (): Promise<void> => {
      for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
        const [nar52, { file }] = next;
        await syncFile(file);
        await rename(file, this.#placeOf(nar52));
      }
    };
    try {
      await Promise.all(Array.from({ length: concurrentSyncs }, worker));
      for (const dir of [...dirs, join(this.dir, 'nar')]) await syncFile(dir);
    } catch (error) {
      throw asStorageError(error);
    }
  }

  /** Removes received NARs that were not kept. */
  async discard(nars: Iterable<ReceivedNar>): Promise<void> {
    for (const { file } of nars) await rm(file, { force: true });
  }

  /** Opens a NAR; undefined when there is none of that hash. Throws `unavailable` when the storage itself is not there. */
  async openNar(nar52: string): Promise<OpenNar | undefined> {
    try {
      const handle = await open(this.#placeOf(nar52));
      const { size } = await handle.stat();
      return { handle, sizeBytes: size, [Symbol.asyncDispose]: () => handle.close() };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw asStorageError(error);
      await this.check();
      return undefined;
    }
  }

  /** Throws `unavailable` unless the storage is mounted and readable. */
  async check(): Promise<void> {
    try {
      await stat(this.#marker);
    } catch (error) {
      throw new FleetError('unavailable', `the NAR storage ${this.dir} is not there`, { cause: error });
    }
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.dir);
    return bavail * bsize;
  }
}

async function syncFile(path: string): Promise<void> {
  await using handle = await open(path);
  await handle.sync();
}

/** A full or failing disk is no one's mistake: it may pass, and the sender may try again. */
function asStorageError(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EIO' || code === 'EROFS'
    ? new FleetError('unavailable', `the NAR storage can't be written: ${code}`, { cause: error })
    : error;
}
