import { constants } from 'node:fs';
import { chmod, type FileHandle, lstat, lutimes, mkdir, open, readdir, rm, symlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { ByteSource } from './byte-reader.ts';
import { defaultNarLimits, type NarDigest, type NarEvent, type NarLimits, readNar } from './nar-reader.ts';

/** Nix gives every file of the store this time, in seconds since 1970. */
const storeTime = 1;
const slash = Buffer.from('/');
// O_EXCL never follows a symlink: a file that is there already, whatever it is, is an error.
const createFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

async function writeFully(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten;
}

async function unpackFile(
  path: Buffer,
  executable: boolean,
  events: AsyncGenerator<NarEvent, void, undefined>,
): Promise<void> {
  await using file = await open(path, createFlags, 0o600);
  for (;;) {
    const { value } = await events.next();
    if (value === undefined || value.type !== 'contents') break;
    await writeFully(file, value.bytes);
  }
  await file.chmod(executable ? 0o555 : 0o444);
  await file.utimes(storeTime, storeTime);
}

async function unpackEvents(events: AsyncGenerator<NarEvent, void, undefined>, target: Buffer): Promise<void> {
  /** Directories that are open, outermost first. They are writable until they are complete. */
  const parents: Buffer[] = [];
  let path = target;
  for (;;) {
    const { value: event } = await events.next();
    if (event === undefined) return;
    if (event.type === 'entry') {
      path = Buffer.concat([parents.at(-1) ?? target, slash, event.name]);
    } else if (event.type === 'file') {
      await unpackFile(path, event.executable, events);
    } else if (event.type === 'symlink') {
      await symlink(event.target, path);
      await lutimes(path, storeTime, storeTime);
    } else if (event.type === 'directory') {
      await mkdir(path, 0o700);
      parents.push(path);
    } else if (event.type === 'directory-end') {
      const done = parents.pop() ?? target;
      await chmod(done, 0o555);
      await utimes(done, storeTime, storeTime);
    }
  }
}

/**
 * Unpacks a NAR to a path that must not exist, as Nix does: files 0444 or 0555, directories 0555, time 1, symlinks as
 * they are. Never writes through a symlink. Constant memory. On any error what was unpacked is removed.
 * Throws `invalid_input` for a bad NAR; file system errors pass through.
 */
export async function unpackNar(
  source: ByteSource,
  target: string,
  limits: NarLimits = defaultNarLimits,
): Promise<NarDigest> {
  let begun = false;
  try {
    return await readNar(source, limits, async (events) => {
      // A target that exists is refused here: it is not ours to remove.
      await refuseExisting(target);
      begun = true;
      await unpackEvents(events, Buffer.from(target));
    });
  } catch (error) {
    if (begun) await removeTree(target);
    throw error;
  }
}

async function refuseExisting(path: string): Promise<void> {
  const stat = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  if (stat !== undefined) throw Object.assign(new Error(`${path} exists already`), { code: 'EEXIST' });
}

/** Removes an unpacked tree, read-only directories included. Nothing there is no error. Symlinks are not followed. */
export async function removeTree(path: string): Promise<void> {
  await makeWritable(path);
  await rm(path, { recursive: true, force: true });
}

/** Only root may delete from a 0555 directory; everyone else must first change its mode. */
async function makeWritable(path: string): Promise<void> {
  const stat = await lstat(path).catch(() => undefined);
  if (stat?.isDirectory() !== true) return;
  if ((stat.mode & 0o700) !== 0o700) await chmod(path, 0o700);
  for (const entry of await readdir(path, { withFileTypes: true }))
    if (entry.isDirectory()) await makeWritable(join(path, entry.name));
}
