import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { FleetError } from '@nixfleet/schema';
import { toBytes, toList } from '../test/collect.ts';
import { ScratchStore, withoutNix } from '../test/real-nix.ts';
import { defaultExportLimits, type ExportLimits, exportSize, readExport, writeExport } from './export.ts';
import { directory, regularFile, symlink } from './nar-node.ts';
import { buildStoreObject } from './store-object.ts';

const read = (bytes: Uint8Array, limits: ExportLimits = defaultExportLimits) =>
  toList(readExport([bytes.subarray(0, 100), bytes.subarray(100)], toBytes, limits));
const failsWith = (code: string) => (error: unknown) => error instanceof FleetError && error.code === code;

const leaf = buildStoreObject({ name: 'leaf', tree: regularFile('leaf') });
const middle = buildStoreObject({ name: 'middle', tree: symlink(leaf.storePath), references: [leaf.storePath] });
const top = buildStoreObject({
  name: 'top',
  tree: directory({ m: symlink(middle.storePath), l: regularFile(`see ${leaf.storePath}`) }),
  references: [middle.storePath, leaf.storePath],
});
const objects = [leaf, middle, top];
const stream = await toBytes(writeExport([leaf, middle, { ...top, deriver: `${leaf.storePath}.drv` }]));

test('what is written is read back, and its size was known before', async () => {
  const paths = await read(stream);
  assert.deepEqual(
    paths.map(({ received, storePath, narHash, narSize, references }) => ({
      nar: received,
      storePath,
      narHash,
      narSize,
      references,
    })),
    objects.map(({ nar, storePath, narHash, narSize, references }) => ({
      nar: Buffer.from(nar),
      storePath,
      narHash,
      narSize,
      references,
    })),
  );
  assert.equal(paths[0]?.deriver, undefined);
  assert.equal(paths[2]?.deriver, `${leaf.storePath}.drv`);
  assert.equal(exportSize([leaf, middle, { ...top, deriver: `${leaf.storePath}.drv` }]), stream.length);
  assert.deepEqual(await read(Buffer.alloc(8)), []);
});

test('a stream cut off or damaged anywhere is refused', async () => {
  for (let end = 0; end < stream.length; end += 8)
    await assert.rejects(read(stream.subarray(0, end)), failsWith('invalid_input'));
  await assert.rejects(read(Buffer.concat([stream, Buffer.from([0])])), /behind the end/);
  const marked = Buffer.from(stream);
  marked[0] = 2;
  await assert.rejects(read(marked), /expected a path or the end/);
  const magic = Buffer.from(stream);
  magic[magic.indexOf('NIXE')] = 0;
  await assert.rejects(read(magic), /no magic number/);
  const signed = Buffer.from(stream.subarray(0, -8));
  signed[signed.length - 8] = 1;
  await assert.rejects(read(signed), /old-style signature/);
  const named = Buffer.from(stream);
  named.write('/tmp/store', named.indexOf(leaf.storePath));
  await assert.rejects(read(named), /not in \/nix\/store/);
});

test('limits on paths, references and NARs hold', async () => {
  await assert.rejects(read(stream, { ...defaultExportLimits, maxPaths: 2 }), failsWith('too_large'));
  await assert.rejects(read(stream, { ...defaultExportLimits, maxReferences: 1 }), failsWith('too_large'));
  const nar = { ...defaultExportLimits.nar, maxSizeBytes: 128 };
  await assert.rejects(read(stream, { ...defaultExportLimits, nar }), failsWith('invalid_input'));
});

test('a receiver that stops early is a bug that shows', async () => {
  const lazy = readExport([stream], async () => 'nothing read');
  await assert.rejects(toList(lazy), /did not read it to its end/);
});

test('the NAR may come as a stream', async () => {
  const nar = (async function* () {
    yield leaf.nar;
  })();
  const bytes = await toBytes(writeExport([{ ...leaf, nar }]));
  assert.equal((await read(bytes))[0]?.narHash, leaf.narHash);
});

test('nix-store imports what we write and gives every object the path that we computed', {
  skip: withoutNix,
}, async () => {
  await using store = new ScratchStore();
  const imported = await store.feed(stream, 'nix-store', '--import');
  assert.deepEqual(
    imported.trim().split('\n'),
    objects.map((object) => object.storePath),
  );
  await store.run('nix-store', '--verify-path', ...objects.map((object) => object.storePath));
  // Rewriting to content-addressed form changes nothing where it is that already: references count the same for Nix.
  for (const { storePath } of objects) {
    const json = await store.line('nix', 'store', 'make-content-addressed', '--json', storePath);
    assert.deepEqual(JSON.parse(json), { rewrites: { [storePath]: storePath } });
  }
});

test('we read what nix-store exports', { skip: withoutNix }, async () => {
  await using store = new ScratchStore();
  await store.feed(stream, 'nix-store', '--import');
  await writeFile(join(store.dir, 'other'), 'other');
  const other = await store.line('nix-store', '--add', join(store.dir, 'other'));
  const exported = await store.run('nix-store', '--export', leaf.storePath, middle.storePath, top.storePath, other);
  const paths = await read(exported);
  assert.deepEqual(paths.map((path) => path.storePath).sort(), [...objects.map((o) => o.storePath), other].sort());
  const again = paths.map((path) => ({ ...path, nar: path.received }));
  assert.deepEqual(await toBytes(writeExport(again)), exported);
});
