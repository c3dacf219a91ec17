import { lstat, mkdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';

/** Where things are inside the host's root. Links are relative, so a root that is not `/` reads the same from outside. */
export interface HostRoot {
  readonly dir: string;
  readonly storeDir: string;
  readonly profilesDir: string;
}

export function hostRoot(dir: string): HostRoot {
  return { dir, storeDir: join(dir, 'nix/store'), profilesDir: join(dir, 'nix/var/nix/profiles') };
}

/** The place in the root of a store path that is written `/nix/store/…`. */
export const inRoot = (root: HostRoot, storePath: string): string => join(root.storeDir, basename(storePath));

export async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return false;
      throw error;
    },
  );
}

/** Replaces a symlink in one step: readers see the old target or the new one. */
export async function switchLink(link: string, target: string): Promise<void> {
  await mkdir(dirname(link), { recursive: true });
  const temporary = `${link}.next`;
  await rm(temporary, { force: true });
  await symlink(relative(dirname(link), target), temporary);
  await rename(temporary, link);
}

/** Makes `system-<generation>-link` point to the closure and `system` to that, as nix-env --set does. */
export async function switchGeneration(root: HostRoot, generation: number, toplevel: string): Promise<void> {
  const link = join(root.profilesDir, `system-${generation}-link`);
  await switchLink(link, inRoot(root, toplevel));
  await switchLink(join(root.profilesDir, 'system'), link);
}

/** The store path that the root's current generation points to. */
export async function readCurrentToplevel(root: HostRoot): Promise<string | undefined> {
  const link = await readlink(join(root.profilesDir, 'system')).catch(() => undefined);
  if (link === undefined) return undefined;
  const target = await readlink(join(root.profilesDir, link)).catch(() => undefined);
  return target === undefined ? undefined : `/nix/store/${basename(target)}`;
}
