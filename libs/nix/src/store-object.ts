import { formatNixHash, type NixHash, sha256 } from './hash.ts';
import type { NarNode } from './nar-node.ts';
import { encodeNar } from './nar-writer.ts';
import { makeContentPath } from './store-path.ts';

/** A complete object of the store, ready for upload. */
export interface StoreObject {
  readonly storePath: string;
  readonly narHash: NixHash;
  readonly narSize: number;
  /** Full paths, sorted, each once. */
  readonly references: readonly string[];
  readonly nar: Buffer;
}

export interface StoreObjectInput {
  readonly name: string;
  readonly tree: NarNode;
  /** Full paths of the other objects that the tree mentions. */
  readonly references?: readonly string[];
}

/** Turns a tree into the store object that `nix-store --add` would make of it, given these references. */
export function buildStoreObject(input: StoreObjectInput): StoreObject {
  const nar = encodeNar(input.tree);
  const digest = sha256(nar);
  const references = [...new Set(input.references?.toSorted() ?? [])];
  return {
    storePath: makeContentPath(input.name, digest, references),
    narHash: formatNixHash(digest),
    narSize: nar.length,
    references,
    nar,
  };
}
