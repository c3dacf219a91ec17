import { spawn } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface OnceOptions {
  /** Remembers the run; durable. */
  readonly stateDir: string;
  /** The same key is the same run: it is not begun a second time. Letters, digits and dashes. */
  readonly key: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly timeoutMs: number;
}

export interface OnceResult {
  /** Undefined: the program was killed before it ended. */
  readonly code: number | undefined;
  /** The end of what it printed. */
  readonly output: string;
}

const pollMs = 100;
const shownCharacters = 1500;

/**
 * Runs the program and writes down how it ended, also when nobody waits for it any more. Output goes to a file: with a
 * pipe, a program whose reader was killed would die halfway.
 */
const keeper = `key=$1; record=$2; shift 2
echo "$key $$" >"$record.pid.next" && mv -f "$record.pid.next" "$record.pid"
"$@" >"$record.log" 2>&1
code=$?
echo "$key $code" >"$record.status.next" && mv -f "$record.status.next" "$record.status"
exit $code`;

const read = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');

/** The number that stands behind the key in the file; undefined when the file is of another run. */
async function readNumber(file: string, key: string): Promise<number | undefined> {
  const [found, value] = (await read(file)).trim().split(' ');
  return found === key && value !== undefined ? Number(value) : undefined;
}

const markerOf = (key: string): string => `nixfleet-activation-${key}`;

/** True while that process is the keeper of this run and not another one with a reused id. */
const isKeeper = async (pid: number, key: string): Promise<boolean> =>
  (await read(`/proc/${pid}/cmdline`)).split('\0').includes(markerOf(key));

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}

/** Waits for a keeper whose agent was killed. */
async function waitForKeeper(pid: number, key: string, timeoutMs: number): Promise<void> {
  const giveUpMs = Date.now() + timeoutMs;
  while (await isKeeper(pid, key)) {
    if (Date.now() > giveUpMs) killGroup(pid);
    await sleep(pollMs);
  }
}

/** Starts the keeper and waits for its end. Throws what the operating system says when it can't be started. */
async function startKeeper(options: OnceOptions, record: string): Promise<void> {
  const { key, file, args, env, cwd, timeoutMs } = options;
  await new Promise<void>((resolve, reject) => {
    // Its own process group: on a time-out everything that it started goes with it.
    const child = spawn('/bin/sh', ['-c', keeper, markerOf(key), key, record, file, ...args], {
      env,
      cwd,
      stdio: 'ignore',
      detached: true,
    });
    const timer = setTimeout(() => {
      if (child.pid !== undefined) killGroup(child.pid);
    }, timeoutMs);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/**
 * Runs a program once for a key, whatever happens to this process meanwhile: where a killed one began it, its end is
 * waited for, or was written down already. Only a program that was killed itself is run again.
 */
export async function runOnce(options: OnceOptions): Promise<OnceResult> {
  const { stateDir, key, timeoutMs } = options;
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const record = join(stateDir, 'activation');
  const status = (): Promise<number | undefined> => readNumber(`${record}.status`, key);
  let code = await status();
  if (code === undefined) {
    const pid = await readNumber(`${record}.pid`, key);
    if (pid !== undefined) await waitForKeeper(pid, key, timeoutMs);
    code = await status();
  }
  if (code === undefined) {
    await startKeeper(options, record);
    code = await status();
  }
  return { code, output: (await read(`${record}.log`)).trim().slice(-shownCharacters) };
}
