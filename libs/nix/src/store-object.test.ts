import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatNixHash, sha256 } from './hash.ts';
import { regularFile } from './nar-node.ts';
import { encodeNar } from './nar-writer.ts';
import { buildStoreObject } from './store-object.ts';
import { makeContentPath, makeTextPath } from './store-path.ts';

test('an object has path, hash, size and sorted references of its tree', () => {
  const tree = regularFile('x');
  const nar = encodeNar(tree);
  const [a, b] = [makeTextPath('a', ''), makeTextPath('b', '')].sort() as [string, string];
  assert.deepEqual(buildStoreObject({ name: 'n', tree, references: [b, a, b] }), {
    storePath: makeContentPath('n', sha256(nar), [a, b]),
    narHash: formatNixHash(sha256(nar)),
    narSize: nar.length,
    references: [a, b],
    nar,
  });
  assert.deepEqual(buildStoreObject({ name: 'n', tree }).references, []);
});
