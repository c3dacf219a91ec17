import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { encodeNix32, sha256 } from '@nixfleet/nix';
import { FleetError } from '@nixfleet/schema';
import { NarStorage } from './nar-storage.ts';

async function scratch() {
  const dir = await mkdtemp(join(tmpdir(), 'nixfleet-storage-'));
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

async function* bytes(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text.slice(0, 2));
  yield Buffer.from(text.slice(2));
}

const hashOf = (text: string): string => encodeNix32(sha256(text));
const failsWith = (code: string) => (error: unknown) => error instanceof FleetError && error.code === code;

test('a received NAR is read back under its hash once it is kept, and only then', async () => {
  await using at = await scratch();
  const storage = await NarStorage.open(at.dir, Date.now());
  const nar = await storage.receive(bytes('contents'));
  assert.equal(await storage.openNar(hashOf('contents')), undefined);
  await storage.keep(new Map([[hashOf('contents'), nar]]));
  await using opened = await storage.openNar(hashOf('contents'));
  assert.equal(opened?.sizeBytes, 8);
  assert.equal(await opened?.handle.readFile('utf8'), 'contents');
  assert.deepEqual(await readdir(join(at.dir, 'tmp')), []);
  assert.ok((await storage.freeBytes()) > 0);
});

test('a NAR that comes again replaces itself', async () => {
  await using at = await scratch();
  const storage = await NarStorage.open(at.dir, Date.now());
  for (let i = 0; i < 2; i++) await storage.keep(new Map([[hashOf('x y'), await storage.receive(bytes('x y'))]]));
  await using opened = await storage.openNar(hashOf('x y'));
  assert.equal(opened?.sizeBytes, 3);
});

test('a stream that breaks off and a discarded NAR leave no file', async () => {
  await using at = await scratch();
  const storage = await NarStorage.open(at.dir, Date.now());
  const broken = (async function* () {
    yield Buffer.from('some');
    throw new Error('connection lost');
  })();
  await assert.rejects(storage.receive(broken), /connection lost/);
  await storage.discard([await storage.receive(bytes('more'))]);
  assert.deepEqual(await readdir(join(at.dir, 'tmp')), []);
});

test('what is left of dead uploads is removed at the next start, what is recent stays', async () => {
  await using at = await scratch();
  await NarStorage.open(at.dir, Date.now());
  for (const name of ['old', 'new']) await writeFile(join(at.dir, 'tmp', name), '');
  await utimes(join(at.dir, 'tmp', 'old'), 1, 1);
  await NarStorage.open(at.dir, Date.now());
  assert.deepEqual(await readdir(join(at.dir, 'tmp')), ['new']);
});

test('what a killed process was receiving is removed at the next start, what a living one receives stays', {
  skip: process.platform !== 'linux' && 'tells processes apart by /proc',
}, async () => {
  await using at = await scratch();
  await using killed = new AsyncDisposableStack();
  const storage = await NarStorage.open(at.dir, Date.now());
  const { file } = await storage.receive(bytes('of this process'));
  const child = spawn('sleep', ['60']);
  killed.defer(() => void child.kill());
  const [realm, , start] = (basename(file).split('.')[0] ?? '').split('_');
  await writeFile(join(at.dir, 'tmp', `${realm}_${child.pid}_${start}.reused-id`), '');
  await writeFile(join(at.dir, 'tmp', `${realm}_999999999_${start}.gone`), '');
  await writeFile(join(at.dir, 'tmp', `elsewhere_999999999_${start}.not-to-be-seen`), '');
  await NarStorage.open(at.dir, Date.now());
  assert.deepEqual(
    (await readdir(join(at.dir, 'tmp'))).toSorted(),
    [basename(file), `elsewhere_999999999_${start}.not-to-be-seen`].toSorted(),
  );
});

test('a storage that is not mounted is unavailable, never a missing NAR', async () => {
  await using at = await scratch();
  const storage = await NarStorage.open(at.dir, Date.now());
  await rm(join(at.dir, 'nixfleet-cache'));
  await assert.rejects(storage.openNar(hashOf('x')), failsWith('unavailable'));
  await assert.rejects(storage.check(), failsWith('unavailable'));
});

test('a name that is no hash never becomes a path', async () => {
  await using at = await scratch();
  const storage = await NarStorage.open(at.dir, Date.now());
  for (const name of ['', '../../etc/passwd', hashOf('x').toUpperCase(), `${hashOf('x')}0`])
    await assert.rejects(storage.openNar(name), failsWith('not_found'));
  assert.match(await readFile(join(at.dir, 'nixfleet-cache'), 'utf8'), /format 1/);
});
