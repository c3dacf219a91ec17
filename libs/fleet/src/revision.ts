import { createHash } from 'node:crypto';
import type { FleetFile } from '@nixfleet/schema';

/** SHA-256 hex of the files by path: the same files are the same revision. */
export function revisionId(files: readonly FleetFile[]): string {
  const hash = createHash('sha256');
  for (const { path, content } of files.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    const digest = createHash('sha256').update(content).digest('hex');
    hash.update(`${path}\0${digest}\n`);
  }
  return hash.digest('hex');
}
