import { realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DeployerHostList, type ReleaseDetail } from '@nixfleet/schema';
import type { Context } from '../context.ts';
import type { AgentHost } from './agents.ts';
import type { StateDir } from './state-dir.ts';

/** One act of the demo: what was to happen, and what did. */
export interface Outcome {
  readonly ok: boolean;
  readonly happened: string;
}

/** At most three names of a list. */
export const naming = (names: readonly string[]): string =>
  `${names.slice(0, 3).join(', ')}${names.length > 3 ? ` and ${names.length - 3} more` : ''}`;

/** What a host's current generation link points to, as `/nix/store/…`: looked up in its root, not asked of anybody. */
async function readRunning(state: StateDir, host: string): Promise<string | undefined> {
  const link = join(state.hostRoot(host), 'nix/var/nix/profiles/system');
  return realpath(link).then(
    (target) => `/nix/store/${basename(target)}`,
    () => undefined,
  );
}

/** Hosts that do not run, or have not confirmed, what the release says: by the deployer's word and by their own roots. */
export async function findStrays(
  context: Context,
  state: StateDir,
  hosts: readonly AgentHost[],
  release: ReleaseDetail,
): Promise<string[]> {
  const { hosts: known } = await context.deployer.ask(DeployerHostList, '/v1/hosts?limit=1000');
  const wanted = new Map(release.hosts.map(({ host, toplevel }) => [host, toplevel]));
  const confirmed = new Map(known.map((host) => [host.host, host.confirmed]));
  const strays: string[] = [];
  for (const { host } of hosts) {
    const toplevel = wanted.get(host);
    if (toplevel === undefined || confirmed.get(host) !== toplevel || (await readRunning(state, host)) !== toplevel)
      strays.push(host);
  }
  return strays;
}
