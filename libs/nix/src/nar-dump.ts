import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir, readlink } from 'node:fs/promises';
import { FleetError } from '@nixfleet/schema';
import { frameStrings, narMagic, paddingOf, writeU64 } from './nar-format.ts';
import { close, directoryHead, entryHead, entryNode, executableHead, regularHead, symlinkHead } from './nar-writer.ts';

const chunkBytes = 256 * 1024;
const slash = Buffer.from('/');

async function* dumpFile(file: FileHandle, path: Buffer): AsyncGenerator<Uint8Array> {
  const stat = await file.stat();
  // As Nix decides: the owner's bit alone.
  yield (stat.mode & constants.S_IXUSR) === 0 ? regularHead : executableHead;
  const length = Buffer.alloc(8);
  writeU64(length, stat.size, 0);
  yield length;
  let left = stat.size;
  while (left > 0) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(chunkBytes, left)));
    if (bytesRead === 0) throw new FleetError('conflict', `${path.toString()} became shorter while it was being read`);
    yield buffer.subarray(0, bytesRead);
    left -= bytesRead;
  }
  yield Buffer.alloc(paddingOf(stat.size));
}

async function* dumpNode(path: Buffer): AsyncGenerator<Uint8Array> {
  const stat = await lstat(path);
  if (stat.isFile()) {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    yield* dumpFile(file, path);
  } else if (stat.isSymbolicLink()) {
    yield symlinkHead;
    yield frameStrings(await readlink(path, 'buffer'));
  } else if (stat.isDirectory()) {
    yield directoryHead;
    const names = await readdir(path, { encoding: 'buffer' });
    for (const name of names.sort((a, b) => Buffer.compare(a, b))) {
      yield entryHead;
      yield frameStrings(name);
      yield entryNode;
      yield* dumpNode(Buffer.concat([path, slash, name]));
      yield close;
    }
  } else {
    throw new FleetError('invalid_input', `${path.toString()} is neither a file nor a symlink nor a directory`);
  }
  yield close;
}

/** NAR of what is at a path, in constant memory. Symlinks are recorded, never followed. File system errors pass through. */
export async function* dumpNar(path: string): AsyncGenerator<Uint8Array> {
  yield frameStrings(narMagic);
  yield* dumpNode(Buffer.from(path));
}
