import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { closureDigest, formatPublicKey, type PublicKey } from '@nixfleet/nix';
import type { HostStatement } from '@nixfleet/schema';
import { ClosureError } from './closure.ts';
import { exists, type HostRoot } from './root.ts';

const execute = promisify(execFile);
const copyTimeoutMs = 3_600_000;
const queryTimeoutMs = 60_000;
const flakesOff = ['--extra-experimental-features', 'nix-command'];

/** True where the host's own Nix store is to be used: the root is `/` and a store database is there. */
export const usesRealStore = async (root: HostRoot): Promise<boolean> =>
  root.dir === '/' && (await exists('/nix/var/nix/db/db.sqlite'));

interface PathInfo {
  readonly path: string;
  readonly narHash: string;
  readonly narSize: number;
  readonly references: readonly string[];
}

/** Digest of a closure as the local store has it: Nix's word on what it really holds, not the cache's. */
async function localClosureDigest(toplevel: string): Promise<string> {
  const { stdout } = await execute('nix', [...flakesOff, 'path-info', '--recursive', '--json', toplevel], {
    timeout: queryTimeoutMs,
    maxBuffer: 256 * 1024 * 1024,
  });
  const infos = JSON.parse(stdout) as PathInfo[] | Record<string, Omit<PathInfo, 'path'>>;
  // Nix up to 2.18 prints a list, later ones an object by path.
  const list = Array.isArray(infos) ? infos : Object.entries(infos).map(([path, info]) => ({ ...info, path }));
  return closureDigest(
    list.map((info) => ({
      storePath: info.path,
      narHash: info.narHash,
      narSize: info.narSize,
      references: info.references,
    })),
  );
}

/** Lets Nix copy the closure, then compares what the store holds with the signed statement. */
export async function installWithNix(
  statement: HostStatement,
  cacheUrls: readonly string[],
  cacheKeys: readonly PublicKey[],
  signal: AbortSignal,
): Promise<void> {
  const problems: string[] = [];
  for (const url of cacheUrls) {
    const options = [
      '--option',
      'trusted-public-keys',
      cacheKeys.map(formatPublicKey).join(' '),
      '--option',
      'narinfo-cache-negative-ttl',
      '0',
    ];
    try {
      await execute('nix', [...flakesOff, ...options, 'copy', '--from', url, statement.toplevel], {
        timeout: copyTimeoutMs,
        signal,
        maxBuffer: 16 * 1024 * 1024,
      });
      const digest = await localClosureDigest(statement.toplevel);
      if (digest !== statement.closureDigest) {
        throw new ClosureError(
          'closure_mismatch',
          `the store's closure of ${statement.toplevel} has digest ${digest}, the signed statement says ${statement.closureDigest}`,
        );
      }
      return;
    } catch (error) {
      if (error instanceof ClosureError) throw error;
      problems.push(`${url}: ${error instanceof Error ? error.message.slice(-500) : String(error)}`);
    }
  }
  throw new ClosureError('closure_unavailable', problems.join('; '));
}

/** Records the generation as nixos-rebuild does, so that it is in the boot menu and safe from garbage collection. */
export async function setSystemProfile(toplevel: string): Promise<void> {
  await execute('nix-env', ['--profile', '/nix/var/nix/profiles/system', '--set', toplevel], {
    timeout: queryTimeoutMs,
  });
}
