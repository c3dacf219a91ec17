import { setTimeout as sleep } from 'node:timers/promises';
import { Child, stopLeftover } from '@nixfleet/infra';
import { FleetError } from '@nixfleet/schema';
import { checkoutDir, type StateDir } from './state-dir.ts';
import type { Part } from './supervisor.ts';

export interface ProgramSpec {
  readonly name: string;
  readonly state: StateDir;
  /** Below the checkout. */
  readonly script: string;
  readonly args?: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
}

/** Words of the log that a person is shown when a start fails. */
const shownLogCharacters = 1500;
const pollMs = 100;

/** Settings reach a process only by what is given here: nothing of the operator's own environment leaks in. */
export function makeEnvironment(own: NodeJS.ProcessEnv, settings: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const inherited = Object.fromEntries(Object.entries(own).filter(([name]) => !name.startsWith('NIXFLEET_')));
  return { ...inherited, ...settings };
}

/**
 * Starts one of our programs. The state directory stands on its command line: `ps` shows whose it is, and a next start
 * recognises what a killed one left.
 */
export async function startProgram({ name, state, script, args = [], settings }: ProgramSpec): Promise<Child> {
  await stopLeftover(state.pidFile(name), state.path);
  return Child.start({
    name,
    file: process.execPath,
    args: [script, ...args],
    cwd: checkoutDir,
    env: makeEnvironment(process.env, settings),
    logFile: state.logFile(name),
    pidFile: state.pidFile(name),
  });
}

/** What /readyz says is missing, in a few words; undefined when the service is ready. */
async function askReadiness(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2000) });
    if (response.ok) return undefined;
    const body = (await response.json()) as { dependencies?: { name: string; up: boolean; reason?: string }[] };
    const missing = (body.dependencies ?? []).filter((dependency) => !dependency.up);
    return `it waits for ${missing.map(({ name, reason }) => `${name} (${reason ?? 'down'})`).join(', ')}`;
  } catch {
    return 'it does not answer';
  }
}

/** A running service, once /readyz says so; on failure the process is stopped and the end of its log shown. */
export async function awaitReady(child: Child, url: string, deadlineMs: number, signal: AbortSignal): Promise<Part> {
  const giveUpMs = Date.now() + deadlineMs;
  let problem: string | undefined;
  while (!signal.aborted) {
    problem = await askReadiness(url);
    if (problem === undefined) return { child, [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() };
    if (!child.running) problem = 'it ended';
    if (!child.running || Date.now() > giveUpMs) break;
    await sleep(pollMs, undefined, { signal }).catch(() => undefined);
  }
  const tail = child.logTail(shownLogCharacters).trim();
  await child[Symbol.asyncDispose]();
  signal.throwIfAborted();
  throw new FleetError(
    'unavailable',
    `${child.name} did not become ready at ${url}: ${problem ?? 'no answer'}. The end of its log:\n${tail.replaceAll(/^/gm, '  ')}`,
  );
}
