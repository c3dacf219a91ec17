import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { buildMerkleTree, leafHash, rootFromProof } from './merkle.ts';

const sha256 = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();
const leaves = (n: number): Buffer[] => Array.from({ length: n }, (_, i) => Buffer.from(`leaf ${i}`));

/** The definition of RFC 9162, section 2.1.1, word for word: what the fast construction must agree with. */
function definedRoot(list: readonly Buffer[]): Buffer {
  const [only] = list;
  if (list.length === 1 && only !== undefined) return sha256(Buffer.from([0]), only);
  let split = 1;
  while (split * 2 < list.length) split *= 2;
  return sha256(Buffer.from([1]), definedRoot(list.slice(0, split)), definedRoot(list.slice(split)));
}

test('the root is that of the RFC for every size up to 70', () => {
  for (let n = 1; n <= 70; n += 1)
    assert.equal(buildMerkleTree(leaves(n)).root.toString('hex'), definedRoot(leaves(n)).toString('hex'), `size ${n}`);
});

test('one leaf is its own root', () => {
  assert.deepEqual(buildMerkleTree(leaves(1)).root, leafHash(Buffer.from('leaf 0')));
});

test('every proof leads to the root, and no other leaf or index fits it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.nat(), (size, pick) => {
      const index = pick % size;
      const list = leaves(size);
      const tree = buildMerkleTree(list);
      const proof = tree.proofOf(index);
      assert.deepEqual(rootFromProof(list[index] ?? Buffer.alloc(0), proof), tree.root);
      assert.notDeepEqual(rootFromProof(Buffer.from('another'), proof), tree.root);
      const moved = { ...proof, leafIndex: (index + 1) % size };
      if (size > 1) assert.notDeepEqual(rootFromProof(list[index] ?? Buffer.alloc(0), moved), tree.root);
    }),
  );
});

test('a proof that is too long, too short or beyond its tree leads nowhere', () => {
  const proof = buildMerkleTree(leaves(5)).proofOf(2);
  const leaf = Buffer.from('leaf 2');
  assert.equal(rootFromProof(leaf, { ...proof, path: proof.path.slice(1) }), undefined);
  assert.equal(rootFromProof(leaf, { ...proof, path: [...proof.path, 'ab'.repeat(32)] }), undefined);
  assert.equal(rootFromProof(leaf, { ...proof, leafIndex: 5 }), undefined);
});
