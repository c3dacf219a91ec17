import { FleetError } from '@nixfleet/schema';
import { formatTable, paint } from '../output.ts';
import { unlessStopped } from './deliver.ts';
import { brokenRelease, type DemoContext, firstRelease, fixedRelease } from './demo-acts.ts';
import { playBackup } from './demo-backup.ts';
import type { Outcome } from './demo-checks.ts';
import type { StateDir } from './state-dir.ts';

interface ActResult extends Outcome {
  readonly name: string;
  readonly expected: string;
  readonly seconds: number;
}

/** Every wait inside has a deadline of its own; this one is for what nobody foresaw. */
const actDeadlineMs = 120_000;

export interface Demo extends DemoContext {
  /** A host that declares a backup job with deadlines of seconds. */
  readonly backupHost: string;
  readonly signal: AbortSignal;
}

interface Act {
  readonly name: string;
  readonly what: string;
  readonly expected: string;
  readonly play: () => Promise<Outcome>;
}

async function playAct({ signal, reporter }: Demo, { name, what, expected, play }: Act): Promise<ActResult> {
  const startedMs = Date.now();
  reporter.heading(`${name}: ${what}`);
  reporter.print(paint('dim', `expected: ${expected}`));
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(actDeadlineMs)]);
  const outcome = await unlessStopped(deadline, play()).catch((error: unknown): Outcome => {
    signal.throwIfAborted();
    const known = error instanceof FleetError || deadline.aborted;
    if (!known || !(error instanceof Error)) throw error;
    return { ok: false, happened: deadline.aborted ? `nothing within ${actDeadlineMs / 1000} s` : error.message };
  });
  return { name, expected, seconds: (Date.now() - startedMs) / 1000, ...outcome };
}

const formatSummary = (results: readonly ActResult[]): string =>
  formatTable(results, [
    { title: '', value: (r) => (r.ok ? 'ok' : 'FAIL'), format: (r) => (r.ok ? 'green' : 'red') },
    { title: 'STEP', value: (r) => r.name },
    { title: 'EXPECTED', value: (r) => r.expected },
    { title: 'WHAT HAPPENED', value: (r) => r.happened },
    { title: 'SECONDS', value: (r) => r.seconds.toFixed(1) },
  ]);

function describeDeviation(result: ActResult, state: StateDir): string {
  return [
    `${paint('red', 'the demo did not go as it should')}: ${result.name}`,
    `  expected  ${result.expected}`,
    `  found     ${result.happened}`,
    `  logs      ${state.logDir}`,
  ].join('\n');
}

/** Plays the scenario act by act and prints the summary; false as soon as one goes otherwise than expected. */
export async function playDemo(demo: Demo): Promise<boolean> {
  const { reporter, hosts } = demo;
  let first: Awaited<ReturnType<typeof firstRelease>> | undefined;
  const acts: readonly Act[] = [
    {
      name: 'Release 1',
      what: 'the fleet as it is',
      expected: `all ${hosts.length} hosts converge`,
      play: async () => {
        first = await firstRelease(demo);
        return first.outcome;
      },
    },
    {
      name: 'Release 2',
      what: 'a website without workers',
      expected: 'the canary reverts itself, the rollout halts',
      play: async () =>
        first === undefined ? { ok: false, happened: 'there is no release 1' } : brokenRelease(demo, first.release),
    },
    {
      name: 'Release 3',
      what: 'repaired, with a new greeting',
      expected: `all ${hosts.length} hosts converge`,
      play: () => fixedRelease(demo),
    },
    {
      name: 'Backup',
      what: `the job that ${demo.backupHost} declares`,
      expected: 'up after a run, late after its deadline',
      play: () => playBackup(demo.context, reporter, demo.backupHost),
    },
  ];
  const results: ActResult[] = [];
  for (const act of acts) {
    const result = await playAct(demo, act);
    results.push(result);
    if (!result.ok) break;
  }
  reporter.heading('Summary');
  reporter.print(formatSummary(results));
  const failed = results.find((result) => !result.ok);
  if (failed !== undefined) reporter.print(`\n${describeDeviation(failed, demo.state)}`);
  return failed === undefined;
}
