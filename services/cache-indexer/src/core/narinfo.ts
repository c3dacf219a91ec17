import { formatNarInfo, hashPartOf, type PathFacts, type SecretKey, signPath } from '@nixfleet/nix';

export interface IndexedPath extends PathFacts {
  readonly deriver?: string;
}

/** Where a path's NAR is served, relative to the cache. */
export const narUrlOf = (facts: PathFacts): string =>
  `nar/${facts.narHash.slice('sha256:'.length)}.nar?hash=${hashPartOf(facts.storePath)}`;

/**
 * The signed narinfo of a path. Signed when it is asked for, so that a new key counts for what is there already. No CA
 * line: with one, a stock client would take the path without our signature.
 */
export const renderNarInfo = (path: IndexedPath, keys: readonly SecretKey[]): string =>
  formatNarInfo({
    storePath: path.storePath,
    url: narUrlOf(path),
    compression: 'none',
    fileHash: path.narHash,
    fileSize: path.narSize,
    narHash: path.narHash,
    narSize: path.narSize,
    references: path.references,
    ...(path.deriver === undefined ? {} : { deriver: path.deriver }),
    signatures: keys.map((key) => signPath(key, path)),
  });
