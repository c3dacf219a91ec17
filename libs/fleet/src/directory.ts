import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FleetError, type FleetFile } from '@nixfleet/schema';

const maxFiles = 20_000;
const maxFileBytes = 4 * 1024 * 1024;
const maxTotalBytes = 256 * 1024 * 1024;

/** Folders of a fleet directory that are read; the rest of it is the fleet's own business. */
const folders = ['hosts', 'scopes'];

/** Reads `fleet.yaml`, `hosts/` and `scopes/` of a directory, sorted by path. Throws `not_found`, `too_large`. */
export async function readFleetDirectory(dir: string): Promise<FleetFile[]> {
  const paths: string[] = [];
  const top = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    throw new FleetError('not_found', `the fleet directory ${dir} can't be read: ${error.code ?? error.message}`);
  });
  paths.push(...top.filter((name) => /^fleet\.(ya?ml|json)$/.test(name)));
  for (const folder of folders.filter((name) => top.includes(name))) {
    const names = await readdir(join(dir, folder), { recursive: true });
    paths.push(...names.filter((name) => /\.(ya?ml|json)$/.test(name)).map((name) => `${folder}/${name}`));
  }
  if (paths.length === 0)
    throw new FleetError('not_found', `${dir} is no fleet directory: it has no fleet.yaml (nixfleet init makes one)`);
  if (paths.length > maxFiles)
    throw new FleetError('too_large', `${dir} has ${paths.length} files, at most ${maxFiles} are read`);
  let totalBytes = 0;
  const files: FleetFile[] = [];
  for (const path of paths.sort()) {
    const { size } = await stat(join(dir, path));
    totalBytes += size;
    if (size > maxFileBytes || totalBytes > maxTotalBytes)
      throw new FleetError('too_large', `${path} makes the fleet larger than may be read (${size} bytes)`);
    files.push({ path, content: await readFile(join(dir, path), 'utf8') });
  }
  return files;
}
