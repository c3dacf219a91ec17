import { join } from 'node:path';
import type { AttemptReason } from '@nixfleet/schema';
import { exists, type HostRoot, inRoot } from './root.ts';
import { runOnce } from './run-once.ts';

export class ActivationError extends Error {
  readonly reason: AttemptReason;

  constructor(reason: AttemptReason, message: string) {
    super(message);
    this.name = 'ActivationError';
    this.reason = reason;
  }
}

/** An activation that hangs is killed; systemd's own default for a start job is 90 s, a switch starts many. */
const activationTimeoutMs = 600_000;

/** Which run of a closure's program this is. */
export interface ActivationRun {
  readonly stateDir: string;
  readonly key: string;
}

/** Runs a program of the closure to its end, once. Throws with the end of what it printed. */
async function runToEnd(
  run: ActivationRun,
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  cwd: string,
): Promise<void> {
  const { code, output } = await runOnce({ ...run, file, args, env, cwd, timeoutMs: activationTimeoutMs });
  if (code === 0) return;
  const ended = code === undefined ? `was killed within ${activationTimeoutMs / 1000} s` : `ended with exit ${code}`;
  throw new ActivationError('activation_failed', `${file} ${ended}: ${output}`);
}

/** True where the root is a running NixOS: only closures that Nix built may be switched to there. */
export const isNixosHost = async (root: HostRoot): Promise<boolean> => root.dir === '/' && (await exists('/etc/NIXOS'));

/** Refuses a closure that the resolver built by itself where only a NixOS system may run. */
export async function refuseForeignClosure(root: HostRoot, toplevel: string): Promise<void> {
  const native = await exists(join(inRoot(root, toplevel), 'nixfleet-native'));
  if (native && (await isNixosHost(root))) {
    throw new ActivationError(
      'foreign_root',
      `${toplevel} was built by config-resolver; this host is a NixOS system and takes closures built by Nix only`,
    );
  }
  if (!native && root.dir !== '/') {
    throw new ActivationError(
      'foreign_root',
      `${toplevel} was built by Nix; it can only be activated in the root /, not in ${root.dir}`,
    );
  }
}

/**
 * Makes the closure the running system: its own `activate` in a root, switch-to-configuration where Nix built it. A run
 * that a killed agent had begun is not begun again.
 */
export async function activate(root: HostRoot, toplevel: string, run: ActivationRun): Promise<void> {
  const dir = inRoot(root, toplevel);
  const env = { PATH: process.env.PATH, NIXFLEET_ROOT: root.dir === '/' ? '' : root.dir, NIXFLEET_TOPLEVEL: toplevel };
  if (await exists(join(dir, 'nixfleet-native'))) {
    await runToEnd(run, '/bin/sh', [join(dir, 'activate')], env, root.dir);
    return;
  }
  await runToEnd(run, join(dir, 'bin/switch-to-configuration'), ['switch'], env, '/');
}
