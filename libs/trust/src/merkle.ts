import { createHash } from 'node:crypto';
import type { InclusionProof } from '@nixfleet/schema';

/** Merkle tree of RFC 9162, section 2.1: SHA-256, leaves and nodes told apart by a first byte. */

const leafPrefix = Buffer.from([0]);
const nodePrefix = Buffer.from([1]);

export const leafHash = (data: Uint8Array): Buffer => createHash('sha256').update(leafPrefix).update(data).digest();
const nodeHash = (left: Uint8Array, right: Uint8Array): Buffer =>
  createHash('sha256').update(nodePrefix).update(left).update(right).digest();

export interface MerkleTree {
  readonly root: Buffer;
  readonly size: number;
  readonly proofOf: (leafIndex: number) => InclusionProof;
}

/** Builds the whole tree once: proofs of all leaves cost no further hashing. At least one leaf. */
export function buildMerkleTree(leaves: readonly Uint8Array[]): MerkleTree {
  if (leaves.length === 0) throw new RangeError('a Merkle tree needs at least one leaf');
  const levels: Buffer[][] = [leaves.map(leafHash)];
  for (let level = levels[0] ?? []; level.length > 1; ) {
    const above: Buffer[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const [left, right] = [level[i], level[i + 1]];
      // An odd last node rises unchanged: this gives the same tree as the RFC's split at a power of two.
      if (left !== undefined) above.push(right === undefined ? left : nodeHash(left, right));
    }
    levels.push(above);
    level = above;
  }
  const root = levels.at(-1)?.[0];
  if (root === undefined) throw new RangeError('a Merkle tree needs at least one leaf');
  const proofOf = (leafIndex: number): InclusionProof => {
    if (!Number.isInteger(leafIndex) || leafIndex < 0 || leafIndex >= leaves.length)
      throw new RangeError(`no leaf ${leafIndex} in a tree of ${leaves.length}`);
    const path: string[] = [];
    let index = leafIndex;
    for (const level of levels) {
      const sibling = level[index ^ 1];
      if (sibling !== undefined && level.length > 1) path.push(sibling.toString('hex'));
      index >>= 1;
    }
    return { leafIndex, treeSize: leaves.length, path };
  };
  return { root, size: leaves.length, proofOf };
}

/**
 * The root that a leaf and its audit path lead to, or undefined when the path cannot belong to a tree of that size
 * (RFC 9162, section 2.1.3.2).
 */
export function rootFromProof(leaf: Uint8Array, proof: InclusionProof): Buffer | undefined {
  if (proof.leafIndex >= proof.treeSize) return undefined;
  let fn = proof.leafIndex;
  let sn = proof.treeSize - 1;
  let hash = leafHash(leaf);
  for (const hex of proof.path) {
    if (sn === 0) return undefined;
    const sibling = Buffer.from(hex, 'hex');
    if (fn % 2 === 1 || fn === sn) {
      hash = nodeHash(sibling, hash);
      while (fn % 2 === 0 && fn !== 0) {
        fn = Math.floor(fn / 2);
        sn = Math.floor(sn / 2);
      }
    } else {
      hash = nodeHash(hash, sibling);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  return sn === 0 ? hash : undefined;
}
