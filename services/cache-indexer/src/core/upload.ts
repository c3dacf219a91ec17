import type { ExportedPath } from '@nixfleet/nix';
import { FleetError } from '@nixfleet/schema';

const namedInErrors = 20;

const listSome = (paths: readonly string[]): string =>
  `${paths.slice(0, namedInErrors).join(', ')}${paths.length > namedInErrors ? ` and ${paths.length - namedInErrors} more` : ''}`;

/** An upload, looked at as a whole: each path once. */
export interface UploadPlan {
  /** Sorted by store path: rows are locked in this order everywhere. */
  readonly paths: readonly ExportedPath[];
  /** Paths that they refer to and that are not among them. */
  readonly outsideReferences: readonly string[];
  /** Paths that no other one of the upload refers to. */
  readonly roots: readonly string[];
}

/** Throws `conflict` when the upload has one path with two contents, `invalid_input` when it has none at all. */
export function planUpload(received: readonly ExportedPath[]): UploadPlan {
  if (received.length === 0) throw new FleetError('invalid_input', 'the upload has no path in it');
  const paths = new Map<string, ExportedPath>();
  for (const path of received) {
    const known = paths.get(path.storePath);
    if (known !== undefined && known.narHash !== path.narHash)
      throw new FleetError('conflict', `the upload has ${path.storePath} twice, with different contents`);
    paths.set(path.storePath, path);
  }
  const referenced = new Set<string>();
  for (const path of paths.values())
    for (const reference of path.references) if (reference !== path.storePath) referenced.add(reference);
  return {
    paths: [...paths.values()].sort((a, b) => (a.storePath < b.storePath ? -1 : 1)),
    outsideReferences: [...referenced].filter((path) => !paths.has(path)).sort(),
    roots: [...paths.keys()].filter((path) => !referenced.has(path)).sort(),
  };
}

/** Throws `conflict` unless every outside reference is here: a narinfo never stands before what it needs. */
export function checkReferences(plan: UploadPlan, present: ReadonlySet<string>): void {
  const missing = plan.outsideReferences.filter((path) => !present.has(path));
  if (missing.length > 0)
    throw new FleetError(
      'conflict',
      `the upload refers to ${missing.length} paths that are neither in it nor in the cache: ${listSome(missing)}`,
      { diagnostics: missing.slice(0, 1000).map((path) => ({ severity: 'error', message: 'missing', found: path })) },
    );
}

/** What the cache has under a path's hash part. */
export interface StoredContents {
  readonly storePath: string;
  /** `sha256:<nix32>` */
  readonly narHash: string;
}

/** Throws `conflict` naming the uploaded paths that are here with other contents or another name. */
export function checkSameContents(plan: UploadPlan, stored: ReadonlyMap<string, StoredContents>): void {
  const different = plan.paths.filter((path) => {
    const known = stored.get(path.storePath.slice(11, 43));
    return known !== undefined && (known.narHash !== path.narHash || known.storePath !== path.storePath);
  });
  if (different.length > 0)
    throw new FleetError(
      'conflict',
      `the cache has ${listSome(different.map((path) => path.storePath))} with other contents: the build is not reproducible, keep what is here`,
    );
}
