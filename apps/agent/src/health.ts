import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CheckResult, FleetError, HealthChecks } from '@nixfleet/schema';
import { Value } from 'typebox/value';
import { exists, type HostRoot, inRoot } from './root.ts';

const noChecks: HealthChecks = { systemd: [], http: [], command: [] };

/** The checks that a closure declares; a closure without the file declares none. */
export async function readHealthChecks(root: HostRoot, toplevel: string): Promise<HealthChecks> {
  const file = join(inRoot(root, toplevel), 'nixfleet/health.json');
  if (!(await exists(file))) return noChecks;
  const checks: unknown = JSON.parse(await readFile(file, 'utf8'));
  if (!Value.Check(HealthChecks, checks)) throw new FleetError('invalid_input', `${file} does not hold health checks`);
  return checks;
}

interface Run {
  readonly code: number;
  readonly output: string;
}

/** Runs a program to its end or its time-out; output is cut at 64 KiB. */
function run(
  file: string,
  args: readonly string[],
  timeoutMs: number,
  env: NodeJS.ProcessEnv,
  cwd: string,
): Promise<Run> {
  return new Promise((resolve) => {
    execFile(
      file,
      args,
      { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 65_536, env, cwd },
      (error, stdout, stderr) => {
        const output = `${stdout}${stderr}`.trim().slice(-900);
        if (error === null) resolve({ code: 0, output });
        else if (error.killed === true) resolve({ code: 124, output: `no answer within ${timeoutMs} ms` });
        else resolve({ code: typeof error.code === 'number' ? error.code : 127, output: output || error.message });
      },
    );
  });
}

/** Asks systemd on a real host. A root beside it has no service manager: there the unit must be installed. */
async function checkUnit(root: HostRoot, unit: string): Promise<CheckResult> {
  if (root.dir !== '/') {
    const healthy = await exists(join(root.dir, 'etc/systemd/system', unit));
    return {
      kind: 'unit',
      name: unit,
      healthy,
      detail: healthy ? 'unit installed (no service manager in this root)' : 'unit is not installed',
    };
  }
  const { code, output } = await run('systemctl', ['is-active', unit], 5000, process.env, '/');
  return { kind: 'unit', name: unit, healthy: code === 0, detail: output };
}

async function checkHttp(check: HealthChecks['http'][number], signal: AbortSignal): Promise<CheckResult> {
  const head = { kind: 'http', name: check.url.slice(0, 300) } as const;
  try {
    const response = await fetch(check.url, {
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(check.timeout * 1000)]),
    });
    await response.body?.cancel();
    return {
      ...head,
      healthy: response.status === check.expectedStatus,
      detail: `status ${response.status}, expected ${check.expectedStatus}`,
    };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
    return {
      ...head,
      healthy: false,
      detail: `${error instanceof Error ? error.message : String(error)}${cause}`.slice(0, 900),
    };
  }
}

async function checkCommand(root: HostRoot, check: HealthChecks['command'][number]): Promise<CheckResult> {
  const env = { PATH: process.env.PATH, NIXFLEET_ROOT: root.dir === '/' ? '' : root.dir };
  const { code, output } = await run('/bin/sh', ['-c', check.command], check.timeout * 1000, env, root.dir);
  return {
    kind: 'command',
    name: check.name,
    healthy: code === 0,
    detail: `exit ${code}${output ? `: ${output}` : ''}`,
  };
}

/** One round of every check, all at the same time. */
export async function runHealthChecks(
  root: HostRoot,
  checks: HealthChecks,
  signal: AbortSignal,
): Promise<CheckResult[]> {
  return Promise.all([
    ...checks.systemd.flatMap((check) => check.units.map((unit) => checkUnit(root, unit))),
    ...checks.http.map((check) => checkHttp(check, signal)),
    ...checks.command.map((check) => checkCommand(root, check)),
  ]);
}

export interface HealthVerdict {
  readonly healthy: boolean;
  readonly checks: readonly CheckResult[];
}

/** The shortest interval that the closure's checks ask for, in milliseconds; a second when there is none. */
function roundIntervalMs(checks: HealthChecks): number {
  const seconds = [...checks.http, ...checks.command].map((check) => check.interval);
  return seconds.length === 0 ? 1000 : Math.min(...seconds) * 1000;
}

/** Repeats rounds until one is healthy throughout or the deadline is over. */
export async function waitForHealth(
  root: HostRoot,
  checks: HealthChecks,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<HealthVerdict> {
  for (;;) {
    const results = await runHealthChecks(root, checks, signal);
    if (results.every((result) => result.healthy)) return { healthy: true, checks: results };
    const restMs = deadlineMs - Date.now();
    if (restMs <= 0 || signal.aborted) return { healthy: false, checks: results };
    await sleep(Math.min(restMs, roundIntervalMs(checks)), undefined, { signal });
  }
}
