import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildStoreObject, closureDigest, hashPartOf, type PathFacts, regularFile } from '@nixfleet/nix';
import { describeClosure } from './closure.ts';

const object = (name: string, references: readonly string[] = []) =>
  buildStoreObject({ name, tree: regularFile(`${name} ${references.join(' ')}`), references });
const factsOf = (...paths: PathFacts[]) => new Map(paths.map((path) => [hashPartOf(path.storePath), path]));

const leaf = object('leaf');
const left = object('left', [leaf.storePath]);
const right = object('right', [leaf.storePath]);
const top = object('top', [left.storePath, right.storePath]);
const stranger = object('stranger');

test('a complete closure has the digest, count and size of exactly its paths', () => {
  const closure = [leaf, left, right, top];
  assert.deepEqual(describeClosure(hashPartOf(top.storePath), factsOf(...closure, stranger)), {
    state: 'complete',
    toplevel: top.storePath,
    closureDigest: closureDigest(closure),
    pathCount: 4,
    closureSizeBytes: closure.reduce((sum, path) => sum + path.narSize, 0),
  });
});

test('a path that refers to itself counts once', () => {
  const self = { ...leaf, references: [leaf.storePath] };
  const status = describeClosure(hashPartOf(leaf.storePath), factsOf(self));
  assert.equal(status.state === 'complete' && status.pathCount, 1);
});

test('missing paths are named wherever they are in the graph', () => {
  assert.deepEqual(describeClosure(hashPartOf(top.storePath), factsOf(left, top)), {
    state: 'incomplete',
    toplevel: top.storePath,
    missing: [leaf.storePath, right.storePath].sort(),
    missingCount: 2,
  });
});

test('a path of the same hash under another name does not stand in', () => {
  const renamed = { ...leaf, storePath: leaf.storePath.replace('leaf', 'lure') };
  const status = describeClosure(hashPartOf(left.storePath), factsOf(left, renamed));
  assert.deepEqual(status, {
    state: 'incomplete',
    toplevel: left.storePath,
    missing: [leaf.storePath],
    missingCount: 1,
  });
});

test('a toplevel that is not here is unknown, not incomplete', () => {
  assert.deepEqual(describeClosure(hashPartOf(top.storePath), factsOf(leaf)), { state: 'unknown' });
});
