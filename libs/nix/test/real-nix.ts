import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { removeTree } from '../src/index.ts';

const execute = promisify(execFile);

function findNix(): boolean {
  try {
    execFileSync('nix-store', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** For the `skip` option of tests that need Nix: false, or why they are skipped. */
export const withoutNix: string | false = findNix()
  ? false
  : 'nix-store is not installed (Debian: apt-get install nix-bin)';

/** A store of its own below a temporary directory, driven by the installed Nix. */
export class ScratchStore implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'nixfleet-nix-'));
  readonly root = join(this.dir, 'root');

  /** Runs `nix-store` or `nix` on this store; gives stdout. */
  async run(program: 'nix' | 'nix-store' | 'nix-instantiate', ...args: string[]): Promise<Buffer> {
    const { stdout } = await execute(program, [...this.#options(program), ...args], {
      encoding: 'buffer',
      maxBuffer: 256 * 1024 * 1024,
      env: { ...process.env, HOME: this.dir },
    });
    return stdout;
  }

  /** The same with bytes on stdin. */
  async feed(input: Uint8Array, program: 'nix-store', ...args: string[]): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const child = execFile(
      program,
      [...this.#options(program), ...args],
      { env: { ...process.env, HOME: this.dir } },
      (error, stdout) => (error === null ? resolve(stdout) : reject(error)),
    );
    child.stdin?.end(input);
    return await promise;
  }

  async line(program: 'nix' | 'nix-store' | 'nix-instantiate', ...args: string[]): Promise<string> {
    return (await this.run(program, ...args)).toString('utf8').trim();
  }

  #options(program: string): string[] {
    return [
      ...(program === 'nix' ? ['--extra-experimental-features', 'nix-command ca-derivations'] : []),
      '--option',
      'build-users-group',
      '',
      '--option',
      'sandbox',
      'false',
      '--store',
      this.root,
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await removeTree(this.dir);
    await rm(this.dir, { recursive: true, force: true });
  }
}
