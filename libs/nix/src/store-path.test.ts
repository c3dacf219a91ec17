import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { FleetError } from '@nixfleet/schema';
import { ScratchStore, withoutNix } from '../test/real-nix.ts';
import { sha256 } from './hash.ts';
import { directory, regularFile, symlink as symlinkNode } from './nar-node.ts';
import { encodeNar } from './nar-writer.ts';
import {
  baseNameOf,
  checkStoreName,
  hashPartOf,
  isHashPart,
  isStorePath,
  makeContentPath,
  makeTextPath,
  parseStoreBaseName,
  parseStorePath,
} from './store-path.ts';

const hashPart = 'ab3li50xq0nl4q5lxdyinb8w8y13my9s';
const refused = (run: () => unknown, why?: string) =>
  assert.throws(run, (error) => error instanceof FleetError && error.code === 'invalid_input', why);

test('a store path falls into hash part and name', () => {
  const path = `/nix/store/${hashPart}-nixos-system-web-01-26.05`;
  assert.deepEqual(parseStorePath(path), { path, hashPart, name: 'nixos-system-web-01-26.05' });
  assert.deepEqual(parseStoreBaseName(baseNameOf(path)), parseStorePath(path));
  assert.equal(hashPartOf(path), hashPart);
  assert.ok(isStorePath(path));
});

test('what is no store path is refused', () => {
  const wrong = [
    '',
    '/nix/store',
    `/nix/store/${hashPart}`,
    `/nix/store/${hashPart}-`,
    `/nix/store/${hashPart}_x`,
    `/nix/store/${hashPart}-x/bin`,
    `/nix/store/${hashPart}-x\n`,
    `/nix/store/../${hashPart}-x`,
    `/gnu/store/${hashPart}-x`,
    `/nix/store/${hashPart.replace('a', 'e')}-x`,
    `/nix/store/${hashPart.replace('a', 'A')}-x`,
    `/nix/store/${hashPart}-${'x'.repeat(212)}`,
    `/nix/store/${hashPart}-.`,
    `/nix/store/${hashPart}-..`,
    `/nix/store/${hashPart}-.-x`,
    `/nix/store/${hashPart}-..-x`,
    `/nix/store/${hashPart}-ä`,
  ];
  for (const path of wrong) {
    refused(() => parseStorePath(path), path);
    assert.equal(isStorePath(path), false, path);
  }
  assert.ok(isStorePath(`/nix/store/${hashPart}-${'x'.repeat(211)}`));
  assert.ok(isStorePath(`/nix/store/${hashPart}-.hidden`));
  refused(() => checkStoreName(''));
  assert.equal(isHashPart(`${hashPart}\n`), false);
});

test('content paths are those that nix-store --add gave', () => {
  assert.equal(makeContentPath('f', sha256(encodeNar(regularFile('hi\n')))), `/nix/store/${hashPart}-f`);
});

test('text paths are those that builtins.toFile gave', () => {
  const bar = makeTextPath('bar', 'x');
  assert.equal(makeTextPath('foo', `hello ${bar}`, [bar]), '/nix/store/zcpp6l42vvfkpsjshrn65x3nsh8ln5fr-foo');
});

test('a reference that is no store path is refused, order and repetition change nothing', () => {
  const digest = sha256('');
  const a = makeTextPath('a', '');
  const b = makeTextPath('b', '');
  refused(() => makeContentPath('x', digest, ['b']));
  assert.equal(makeContentPath('x', digest, [b, a, b]), makeContentPath('x', digest, [a, b]));
  assert.notEqual(makeContentPath('x', digest, [a]), makeContentPath('x', digest));
});

test('nix-store --add gives a tree the path that we compute', { skip: withoutNix }, async () => {
  await using store = new ScratchStore();
  const dir = join(store.dir, 'some-tree');
  await mkdir(join(dir, 'bin'), { recursive: true });
  await writeFile(join(dir, 'bin/run'), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(join(dir, 'Zebra'), '');
  await writeFile(join(dir, 'apple'), 'a'.repeat(1000));
  await symlink('../apple', join(dir, 'bin/link'));
  const tree = directory({
    apple: regularFile('a'.repeat(1000)),
    bin: directory({ run: regularFile('#!/bin/sh\n', true), link: symlinkNode('../apple') }),
    Zebra: regularFile(''),
  });
  assert.equal(makeContentPath('some-tree', sha256(encodeNar(tree))), await store.line('nix-store', '--add', dir));
});
