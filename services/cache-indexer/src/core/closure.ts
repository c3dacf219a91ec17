import { closureDigest, hashPartOf, type PathFacts } from '@nixfleet/nix';
import type { ClosureStatus } from '@nixfleet/schema';

/** Missing paths that an answer names; it counts all of them. */
const maxNamedMissing = 1000;

/**
 * What is here of a closure: walks the references from `toplevel` through the facts of known paths, keyed by hash part.
 * The facts may hold more than this closure.
 */
export function describeClosure(toplevelHash: string, facts: ReadonlyMap<string, PathFacts>): ClosureStatus {
  const top = facts.get(toplevelHash);
  if (top === undefined) return { state: 'unknown' };
  const paths = new Map<string, PathFacts>([[top.storePath, top]]);
  const missing = new Set<string>();
  let closureSizeBytes = 0;
  // A Map gives entries that are added while it is walked: this is the queue as well as the result.
  for (const path of paths.values()) {
    closureSizeBytes += path.narSize;
    for (const reference of path.references) {
      if (paths.has(reference)) continue;
      const target = facts.get(hashPartOf(reference));
      // The same hash part under another name is another path: it does not stand in for this one.
      if (target?.storePath === reference) paths.set(reference, target);
      else missing.add(reference);
    }
  }
  if (missing.size > 0) {
    const named = [...missing].sort().slice(0, maxNamedMissing);
    return { state: 'incomplete', toplevel: top.storePath, missing: named, missingCount: missing.size };
  }
  return {
    state: 'complete',
    toplevel: top.storePath,
    closureDigest: closureDigest(paths.values()),
    pathCount: paths.size,
    closureSizeBytes,
  };
}
