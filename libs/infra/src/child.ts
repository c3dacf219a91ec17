import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FleetError } from '@nixfleet/schema';

export interface ChildOptions {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Standard output and error go here. */
  readonly logFile: string;
  /** Remembers the process, so that a next start finds what a killed one left running. */
  readonly pidFile?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** What ends it in good order. */
  readonly stopSignal?: NodeJS.Signals;
  readonly stopTimeoutMs?: number;
}

/** A server of ours: a real process that is stopped in good order, or killed when it does not stop. */
export class Child implements AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  readonly #process: ChildProcess;
  readonly #options: ChildOptions;
  readonly #exited: Promise<void>;

  constructor(options: ChildOptions) {
    this.name = options.name;
    this.#options = options;
    mkdirSync(dirname(options.logFile), { recursive: true });
    const log = openSync(options.logFile, 'a');
    // A group of its own: Ctrl-C in a terminal reaches only the parent, which stops its children in order.
    this.#process = spawn(options.file, options.args, {
      stdio: ['ignore', log, log],
      env: options.env ?? process.env,
      detached: true,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
    });
    closeSync(log);
    this.#exited = new Promise((resolve) => {
      this.#process.once('exit', () => resolve());
      this.#process.once('error', () => resolve());
    });
    this.pid = this.#process.pid ?? 0;
  }

  /** Starts a process; writes its pid file before it returns. */
  static async start(options: ChildOptions): Promise<Child> {
    const child = new Child(options);
    if (child.pid === 0) throw new FleetError('unavailable', `${options.file} can't be started: ${options.name}`);
    if (options.pidFile !== undefined) await writeFile(options.pidFile, String(child.pid));
    return child;
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null && this.pid !== 0;
  }

  get exited(): Promise<void> {
    return this.#exited;
  }

  /** SIGKILL, as a fault does. */
  async kill(): Promise<void> {
    if (this.running) this.#process.kill('SIGKILL');
    await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.running) {
      this.#process.kill(this.#options.stopSignal ?? 'SIGTERM');
      const stopped = await Promise.race([
        this.#exited.then(() => true),
        sleep(this.#options.stopTimeoutMs ?? 20_000, false, { ref: false }),
      ]);
      if (!stopped) await this.kill();
    }
    if (this.#options.pidFile !== undefined) await rm(this.#options.pidFile, { force: true });
  }

  /** The end of what the process printed. */
  logTail(characters = 2000): string {
    return readFileSync(this.#options.logFile, 'utf8').slice(-characters);
  }
}

/** Polls until `probe` is true. Fails at once when the process has ended, and after the time-out. */
export async function waitUntil(child: Child, timeoutMs: number, probe: () => Promise<boolean>): Promise<void> {
  const giveUpMs = Date.now() + timeoutMs;
  for (;;) {
    if (await probe()) return;
    if (!child.running) throw new FleetError('unavailable', `${child.name} ended while starting:\n${child.logTail()}`);
    if (Date.now() > giveUpMs) {
      await child[Symbol.asyncDispose]();
      throw new FleetError('timed_out', `${child.name} is not ready after ${timeoutMs} ms:\n${child.logTail()}`);
    }
    await sleep(50);
  }
}

/**
 * Ends a process that an earlier, killed run left behind: only when the pid file's process still has `marker` on its
 * command line, so that a reused pid harms nobody.
 */
export async function stopLeftover(pidFile: string, marker: string): Promise<void> {
  const pid = readPid(pidFile);
  if (pid !== undefined && commandLineOf(pid).includes(marker)) {
    process.kill(pid, 'SIGTERM');
    for (let waited = 0; waited < 5000 && commandLineOf(pid) !== ''; waited += 50) await sleep(50);
    if (commandLineOf(pid).includes(marker)) process.kill(pid, 'SIGKILL');
  }
  await rm(pidFile, { force: true });
}

function readPid(pidFile: string): number | undefined {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8').split('\n')[0]);
    return Number.isInteger(pid) && pid > 1 ? pid : undefined;
  } catch {
    return undefined;
  }
}

function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
