import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { AttemptReason } from '@nixfleet/schema';
import { exists, type HostRoot, inRoot } from './root.ts';

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

/** Runs a program of the closure to its end. Throws with the end of what it printed. */
async function runToEnd(file: string, args: readonly string[], env: NodeJS.ProcessEnv, cwd: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    // Its own process group: on a time-out everything that it started goes with it.
    const child = spawn(file, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    let tail = '';
    const keep = (chunk: Buffer): void => {
      tail = `${tail}${chunk.toString('utf8')}`.slice(-1500);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const timer = setTimeout(() => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, activationTimeoutMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new ActivationError('activation_failed', `${file}: ${error.message}`));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) resolve();
      else
        reject(
          new ActivationError('activation_failed', `${file} ended with ${signal ?? `exit ${code}`}: ${tail.trim()}`),
        );
    });
  });
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

/** Makes the closure the running system: its own `activate` in a root, switch-to-configuration where Nix built it. */
export async function activate(root: HostRoot, toplevel: string): Promise<void> {
  const dir = inRoot(root, toplevel);
  const env = { PATH: process.env.PATH, NIXFLEET_ROOT: root.dir === '/' ? '' : root.dir, NIXFLEET_TOPLEVEL: toplevel };
  if (await exists(join(dir, 'nixfleet-native'))) {
    await runToEnd('/bin/sh', [join(dir, 'activate')], env, root.dir);
    return;
  }
  await runToEnd(join(dir, 'bin/switch-to-configuration'), ['switch'], env, '/');
}
