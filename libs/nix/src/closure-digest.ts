import { createHash } from 'node:crypto';
import type { PathFacts } from './fingerprint.ts';
import { normalizeNixHash } from './hash.ts';

/**
 * The one line of a path in a closure's digest:
 *
 *     <full store path> <sha256:nix32 of the NAR> <NAR size, decimal> <full references, sorted, space-joined>\n
 *
 * Fields are parted by one space; a path without references ends in the space behind its size.
 */
const lineOf = (facts: PathFacts): string =>
  `${facts.storePath} ${normalizeNixHash(facts.narHash)} ${facts.narSize} ${facts.references.toSorted().join(' ')}\n`;

/**
 * SHA-256, in hex, over the sorted lines of all paths of a closure (sorted as ASCII, which all lines are; each path
 * once). It pins every byte and every edge of the closure, whoever serves it: release statements are over it. The
 * caller sees to it that the paths are a whole closure.
 */
export function closureDigest(closure: Iterable<PathFacts>): string {
  const lines = Array.from(closure, lineOf).sort();
  const digest = createHash('sha256');
  let previous = '';
  for (const line of lines) {
    if (line !== previous) digest.update(line, 'latin1');
    previous = line;
  }
  return digest.digest('hex');
}
