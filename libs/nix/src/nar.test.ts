import assert from 'node:assert/strict';
import { lstat, symlink as makeSymlink, mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { FleetError } from '@nixfleet/schema';
import fc from 'fast-check';
import { toBytes, toList } from '../test/collect.ts';
import { ScratchStore, withoutNix } from '../test/real-nix.ts';
import { formatNixHash, sha256 } from './hash.ts';
import { dumpNar } from './nar-dump.ts';
import { frameStrings } from './nar-format.ts';
import { directory, type NarNode, regularFile, symlink } from './nar-node.ts';
import { defaultNarLimits, parseNar } from './nar-reader.ts';
import { removeTree, unpackNar } from './nar-unpack.ts';
import { encodeNar } from './nar-writer.ts';

const invalid = (error: unknown): boolean => error instanceof FleetError && error.code === 'invalid_input';
const refused = (bytes: Uint8Array, why: RegExp) =>
  assert.rejects(parseNar(bytes), (error) => invalid(error) && why.test((error as Error).message));

const entryName = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  .filter((name) => !/^\.\.?$|[/\0]/.test(name) && name.isWellFormed());
const { node: anyTree } = fc.letrec<{ node: NarNode }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({
      type: fc.constant('regular' as const),
      executable: fc.boolean(),
      contents: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    }),
    entryName.map(symlink),
    fc.dictionary(entryName, tie('node'), { maxKeys: 5 }).map(directory),
  ),
}));

/** The bytes in pieces of a given size, as a network may deliver them. */
function* inPieces(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Directories compare as maps regardless of order. */
const plain = (node: NarNode): unknown =>
  node.type === 'directory'
    ? [...node.entries]
        .map(([name, child]) => [name, plain(child)])
        .sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1))
    : node.type === 'regular'
      ? { ...node, contents: Buffer.from(node.contents).toString('hex') }
      : node;

test('every tree survives encoding and parsing, however the stream is cut', async () => {
  await fc.assert(
    fc.asyncProperty(anyTree, fc.integer({ min: 1, max: 100 }), async (tree, size) => {
      const nar = encodeNar(tree);
      assert.equal(nar.length % 8, 0);
      const parsed = await parseNar(inPieces(nar, size));
      assert.deepEqual(plain(parsed), plain(tree));
      assert.deepEqual(encodeNar(parsed), nar);
    }),
    { numRuns: 200 },
  );
});

test('a NAR with any bit flipped is refused or is another tree', async () => {
  const nar = encodeNar(
    directory({ a: regularFile('hello', true), b: symlink('a'), c: directory({ d: regularFile('') }) }),
  );
  const original = plain(await parseNar(nar));
  for (let bit = 0; bit < nar.length * 8; bit += 1) {
    const damaged = Buffer.from(nar);
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const outcome = await parseNar(damaged).then(plain, (error: unknown) => {
      assert.ok(invalid(error), String(error));
    });
    assert.notDeepEqual(outcome, original);
  }
});

test('a NAR cut off anywhere is refused', async () => {
  const nar = encodeNar(directory({ a: regularFile('hello', true), b: symlink('a') }));
  for (let end = 0; end < nar.length; end++) await refused(nar.subarray(0, end), /ends in the middle/);
});

const node = (...parts: string[]): Uint8Array => frameStrings('nix-archive-1', '(', 'type', ...parts);
const emptyFile = ['(', 'type', 'regular', 'contents', '', ')'];
const entry = (name: string): string[] => ['entry', '(', 'name', name, 'node', ...emptyFile, ')'];

test('entries that are unsorted, repeated or could leave their directory are refused', async () => {
  await refused(node('directory', ...entry('b'), ...entry('a'), ')'), /does not come after/);
  await refused(node('directory', ...entry('a'), ...entry('a'), ')'), /does not come after/);
  for (const name of ['.', '..', '', 'a/b', '/', 'a\0b'])
    await refused(node('directory', ...entry(name), ')'), /entry name/);
  await refused(node('directory', ...entry('x'.repeat(256)), ')'), /256 bytes/);
  assert.throws(() => encodeNar(directory({ '..': regularFile('') })), invalid);
  assert.throws(() => encodeNar(directory({ 'x/y': regularFile('') })), invalid);
  assert.throws(() => encodeNar(symlink('')), invalid);
});

test('malformed archives are refused with what was expected', async () => {
  const good = encodeNar(regularFile('x'));
  await refused(Buffer.concat([good, Buffer.alloc(8)]), /behind its end/);
  await refused(frameStrings('nix-archive-2'), /expected "nix-archive-1"/);
  await refused(node('socket', ')'), /unknown node type/);
  await refused(node('regular', 'executable', 'x', 'contents', '', ')'), /expected ""/);
  await refused(node('regular', 'target', '', ')'), /expected "contents"/);
  await refused(node('symlink', 'target', '', ')'), /target is empty/);
  await refused(node('symlink', 'target', 'a\0', ')'), /NUL/);
  await refused(node('directory', 'name'), /expected "entry"/);
  await refused(frameStrings('x'.repeat(100)), /token of 100 bytes/);
  const padded = Buffer.from(good);
  padded[padded.indexOf('contents') + 19] = 1;
  await refused(padded, /padding/);
  const huge = Buffer.from(good);
  huge.writeUInt32LE(0xffff_ffff, huge.indexOf('contents') + 12);
  await refused(huge, /above 2\^53/);
});

test('a name that is not UTF-8 is refused for a tree in memory but unpacks', async () => {
  await using scratch = new ScratchStore();
  const name = Buffer.from([0x66, 0xfc]);
  const nar = Buffer.concat([
    node('directory', 'entry', '(', 'name'),
    frameStrings(name, 'node', ...emptyFile, ')', ')'),
  ]);
  await refused(nar, /not UTF-8/);
  await unpackNar([nar], join(scratch.dir, 'out'));
  assert.deepEqual(await readdir(join(scratch.dir, 'out'), { encoding: 'buffer' }), [name]);
});

test('limits on depth, entries and size hold before anything is kept', async () => {
  let deep: NarNode = regularFile('');
  for (let i = 0; i < 5; i++) deep = directory({ d: deep });
  const tight = { maxDepth: 3, maxEntries: 3, maxSizeBytes: 4096 };
  await assert.rejects(parseNar(encodeNar(deep), tight), /3 directories deep/);
  const wide = directory(Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, regularFile('')])));
  await assert.rejects(parseNar(encodeNar(wide), tight), /3 entries/);
  await assert.rejects(parseNar(encodeNar(regularFile('x'.repeat(5000))), tight), /5000 bytes/);
  const two = directory({ a: regularFile('x'.repeat(3000)), b: regularFile('x'.repeat(3000)) });
  await assert.rejects(parseNar(encodeNar(two), tight), /more than 4096/);
});

test('unpacking gives the modes and times of the store, and dumping gives the NAR back', async () => {
  await using scratch = new ScratchStore();
  const target = join(scratch.dir, 'out');
  const nar = encodeNar(
    directory({
      bin: directory({ run: regularFile('#!/bin/sh\n', true), empty: directory({}) }),
      big: regularFile(Buffer.alloc(700_000, 'x')),
      // To a place outside: unpacking must not care where a symlink leads.
      out: symlink('/etc/passwd'),
    }),
  );
  const digest = await unpackNar(inPieces(nar, 65_536), target);
  assert.deepEqual(digest, { narHash: formatNixHash(sha256(nar)), narSize: nar.length });
  const mode = async (path: string) => ((await lstat(join(target, path))).mode & 0o7777).toString(8);
  assert.deepEqual(await Promise.all(['', 'bin', 'bin/run', 'big'].map(mode)), ['555', '555', '555', '444']);
  for (const path of ['', 'bin', 'bin/run', 'big', 'out'])
    assert.equal((await lstat(join(target, path))).mtimeMs, 1000, path);
  assert.equal(await readlink(join(target, 'out')), '/etc/passwd');
  assert.deepEqual(await toBytes(dumpNar(target)), nar);
  await removeTree(target);
  assert.deepEqual(await readdir(scratch.dir), []);
  await removeTree(target);
});

test('unpacking a bad NAR leaves nothing behind, and what is at the target already stays', async () => {
  await using scratch = new ScratchStore();
  const target = join(scratch.dir, 'out');
  const nar = encodeNar(directory({ a: directory({ b: regularFile('x') }), c: regularFile('y') }));
  await assert.rejects(unpackNar([nar.subarray(0, -8)], target), invalid);
  assert.deepEqual(await readdir(scratch.dir), []);
  await makeSymlink('elsewhere', target);
  await assert.rejects(unpackNar([nar], target), { code: 'EEXIST' });
  assert.equal(await readlink(target), 'elsewhere');
});

test('a single file and a symlink are archives too', async () => {
  await using scratch = new ScratchStore();
  await unpackNar([encodeNar(regularFile('x'))], join(scratch.dir, 'f'));
  await unpackNar([encodeNar(symlink('f'))], join(scratch.dir, 'l'));
  assert.equal(await readFile(join(scratch.dir, 'l'), 'utf8'), 'x');
  assert.deepEqual(await toBytes(dumpNar(join(scratch.dir, 'l'))), encodeNar(symlink('f')));
});

test('what a NAR cannot hold is not dumped', async () => {
  await assert.rejects(toList(dumpNar('/dev/null')), invalid);
  await assert.rejects(toList(dumpNar('/does/not/exist')), { code: 'ENOENT' });
});

test('directory takes a map as it is', () => {
  const entries = new Map([['a', regularFile('x')]]);
  assert.equal(directory(entries).entries, entries);
});

test('nix-store --dump and --restore agree with us on every byte', { skip: withoutNix }, async () => {
  await using store = new ScratchStore();
  const dir = join(store.dir, 'tree');
  await mkdir(join(dir, 'é', 'deep'), { recursive: true });
  await writeFile(join(dir, 'run'), 'x'.repeat(12_345), { mode: 0o755 });
  await writeFile(join(dir, 'é', 'deep', 'Ω'), '');
  await makeSymlink('nowhere', join(dir, 'z'));
  const theirs = await store.run('nix-store', '--dump', dir);
  assert.deepEqual(await toBytes(dumpNar(dir)), theirs);
  assert.deepEqual(encodeNar(await parseNar(theirs)), theirs);
  const ours = encodeNar(directory({ a: regularFile('1', true), b: directory({ c: symlink('../a') }) }));
  await store.feed(ours, 'nix-store', '--restore', join(store.dir, 'restored'));
  assert.deepEqual(await store.run('nix-store', '--dump', join(store.dir, 'restored')), ours);
  await unpackNar([theirs], join(store.dir, 'unpacked'), defaultNarLimits);
  assert.deepEqual(await store.run('nix-store', '--dump', join(store.dir, 'unpacked')), theirs);
});
