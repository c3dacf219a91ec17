import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const cli = join(import.meta.dirname, '../../apps/cli/src/main.ts');
const giveUpAfterMs = 180_000;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A `nixfleet` command as a process of its own, as a user runs it. */
export class NixfleetProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly ended: Promise<Ended>;
  #stdout = '';
  #stderr = '';

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = {}, cwd?: string) {
    const child = spawn(process.execPath, [cli, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...process.env, NO_COLOR: '1', ...env },
    });
    this.#child = child;
    child.stdout.on('data', (chunk: Buffer) => (this.#stdout += chunk.toString('utf8')));
    child.stderr.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString('utf8')));
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve({ code, stdout: this.#stdout, stderr: this.#stderr }));
    });
  }

  get output(): string {
    return `${this.#stdout}${this.#stderr}`;
  }

  /** Waits until it has printed this; throws with all it printed when it ends or takes too long before. */
  async printed(pattern: RegExp): Promise<void> {
    const giveUpMs = performance.now() + giveUpAfterMs;
    while (!pattern.test(this.output)) {
      if (this.#child.exitCode !== null || performance.now() > giveUpMs)
        throw new Error(`never printed ${String(pattern)}:\n${this.output}`);
      await sleep(50);
    }
  }

  /** Asks it to stop, as Ctrl-C does, and waits until it is gone. */
  async stop(): Promise<Ended> {
    this.#child.kill('SIGINT');
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) await this.stop();
  }
}

export const nixfleet = (args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ended> =>
  new NixfleetProcess(args, env).ended;

/** A directory below the temporary one, by default with a space in its name; removed at the end. */
export async function scratchDir(prefix = 'nixfleet e2e '): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), prefix));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 3 }) };
}
