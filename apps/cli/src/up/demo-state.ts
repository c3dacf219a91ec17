import { readdir, rm } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { removeTree } from '@nixfleet/nix';
import { stopLeftovers } from './backend.ts';
import { readIfThere, StateDir } from './state-dir.ts';

/** Empties what an earlier demo left in its directory, after stopping what of it still runs. The lock must be held. */
export async function clearState(state: StateDir): Promise<void> {
  await stopLeftovers(state);
  const postgresDir = await readIfThere(state.postgresLocationFile);
  if (postgresDir !== undefined && !postgresDir.startsWith(state.path + sep))
    await rm(dirname(postgresDir), { recursive: true, force: true });
  for (const name of await readdir(state.path)) {
    const path = join(state.path, name);
    // Store paths are read-only, also to their owner.
    if (path === state.hostsDir) await removeTree(path);
    else if (path !== state.lockFile) await rm(path, { recursive: true, force: true });
  }
  await StateDir.open(state.path);
}
