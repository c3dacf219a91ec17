import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { closureDigest } from './closure-digest.ts';
import { makeTextPath } from './store-path.ts';

const nix32 = 'sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73';
const sri = 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=';
const a = makeTextPath('a', '');
const b = makeTextPath('b', '');
const c = makeTextPath('c', '');
const closure = [
  { storePath: a, narHash: nix32, narSize: 120, references: [c, b] },
  { storePath: b, narHash: nix32, narSize: 7, references: [] },
  { storePath: c, narHash: nix32, narSize: 8, references: [c] },
];

test('the digest is SHA-256 over the sorted lines as documented', () => {
  const lines = [`${a} ${nix32} 120 ${[b, c].sort().join(' ')}\n`, `${b} ${nix32} 7 \n`, `${c} ${nix32} 8 ${c}\n`];
  assert.equal(closureDigest(closure), createHash('sha256').update(lines.sort().join('')).digest('hex'));
});

test('order, repetition and the spelling of hashes change nothing', () => {
  const digest = closureDigest(closure);
  assert.equal(closureDigest(closure.toReversed()), digest);
  assert.equal(closureDigest([...closure, ...closure]), digest);
  assert.equal(
    closureDigest(closure.map((path) => ({ ...path, narHash: sri, references: path.references.toReversed() }))),
    digest,
  );
});

test('a change of any fact of any path changes the digest', () => {
  const digest = closureDigest(closure);
  for (const change of [
    { narSize: 9 },
    { references: [a] },
    { narHash: nix32.replace('0m', '1m') },
    { storePath: makeTextPath('d', '') },
  ])
    assert.notEqual(closureDigest(closure.with(2, { ...closure[2], ...change } as (typeof closure)[0])), digest);
  assert.notEqual(closureDigest(closure.slice(1)), digest);
});
