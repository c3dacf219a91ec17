import { resolve } from 'node:path';
import { type BuiltFleet, buildFleet } from '@nixfleet/fleet';
import { FleetError } from '@nixfleet/schema';
import type { Command } from 'commander';
import { exitCodes } from '../exit-codes.ts';
import { loadFleet } from '../fleet-directory.ts';
import { startBackend } from '../up/backend.ts';
import { type DeliverOptions, deliver, unlessStopped } from '../up/deliver.ts';
import { playDemo } from '../up/demo.ts';
import { clearState } from '../up/demo-state.ts';
import { formatGuide, shownPath } from '../up/guide.ts';
import { stopOnSignals } from '../up/interrupt.ts';
import { localContext } from '../up/local-context.ts';
import { chooseDemoHosts, listAgentHosts } from '../up/local-fleet.ts';
import { Reporter } from '../up/reporter.ts';
import { checkoutDir, isAlive, lockState, StateDir } from '../up/state-dir.ts';
import { Supervisor } from '../up/supervisor.ts';

interface UpFlags {
  readonly demo?: boolean;
  readonly fleet: string;
  readonly stateDir: string;
  readonly ports?: string;
}

const defaultStateDir = resolve(checkoutDir, '.nixfleet');
const rolloutTimeoutSeconds = { demo: 90, up: 900 } as const;

function readPorts({ ports, demo }: UpFlags): 'fixed' | 'auto' {
  const choice = ports ?? (demo === true ? 'auto' : 'fixed');
  if (choice === 'fixed' || choice === 'auto') return choice;
  throw new FleetError('invalid_input', `--ports takes fixed or auto, got ${JSON.stringify(choice)}`);
}

interface Run {
  readonly flags: UpFlags;
  readonly state: StateDir;
  readonly fleet: BuiltFleet;
  readonly supervisor: Supervisor;
  readonly reporter: Reporter;
}

/** Starts everything, then plays the demo, or delivers the fleet and stays. Returns the exit code. */
async function run({ flags, state, fleet, supervisor, reporter }: Run): Promise<number> {
  const hosts = listAgentHosts(fleet);
  const { signal } = supervisor;
  const fleetDir = resolve(flags.fleet);
  reporter.heading(`Starting the backend, with state in ${shownPath(state.path)}`);
  const backend = await startBackend(supervisor, reporter, {
    state,
    ports: readPorts(flags),
    fleet: fleet.fleet,
    hosts,
  });
  const delivery: DeliverOptions = {
    context: localContext(state, backend, { json: false, print: (text) => process.stdout.write(`${text}\n`) }),
    reporter,
    fleetDir,
    keyFile: state.releaseKeyFile,
    notes: `from ${shownPath(fleetDir)}`,
    hosts,
    rolloutTimeoutSeconds: flags.demo === true ? rolloutTimeoutSeconds.demo : rolloutTimeoutSeconds.up,
  };
  if (flags.demo === true) {
    const good = await playDemo({ ...delivery, state, signal, ...chooseDemoHosts(fleet) });
    return good ? exitCodes.ok : exitCodes.unexpected;
  }
  reporter.heading(`Delivering ${shownPath(fleetDir)}`);
  await unlessStopped(signal, deliver(delivery, fleet)).catch((error: unknown) => {
    // The backend stays: whoever started it can look, and try again with the CLI.
    if (signal.aborted || !(error instanceof FleetError)) throw error;
    reporter.warn(`the fleet was not delivered: ${error.message}`);
  });
  const example = `explain ${hosts[0]?.host ?? 'HOST'} networking.hostName --fleet ${JSON.stringify(shownPath(fleetDir))}`;
  reporter.print(formatGuide(state, backend, state.path === defaultStateDir, example));
  await unlessStopped(signal, new Promise<never>(() => undefined));
  return exitCodes.ok;
}

/** Stops everything in reverse order and makes sure that it is gone. */
async function stopAll(supervisor: Supervisor, reporter: Reporter): Promise<void> {
  const pids = supervisor.pids;
  await supervisor[Symbol.asyncDispose]();
  const left = pids.filter(isAlive);
  if (left.length > 0)
    throw new FleetError('unavailable', `${left.length} of ${pids.length} processes still run: ${left.join(', ')}`);
  if (pids.length > 0) reporter.step(`all ${pids.length} processes have stopped`);
}

async function up(flags: UpFlags): Promise<number> {
  // What is wrong with the flags or the fleet is told before anything is started.
  readPorts(flags);
  const fleet = buildFleet(await loadFleet(resolve(flags.fleet)));
  if (flags.demo === true) chooseDemoHosts(fleet);
  const stateDir = resolve(flags.stateDir);
  const state = await StateDir.open(flags.demo === true ? resolve(stateDir, 'demo') : stateDir);
  await using _lock = await lockState(state);
  const reporter = new Reporter();
  const supervisor = new Supervisor(reporter);
  using _signals = stopOnSignals(supervisor, reporter);
  try {
    if (flags.demo === true) await clearState(state);
    return await run({ flags, state, fleet, supervisor, reporter });
  } catch (error) {
    if (!supervisor.signal.aborted) throw error;
    return flags.demo === true ? exitCodes.unexpected : exitCodes.ok;
  } finally {
    await stopAll(supervisor, reporter);
  }
}

/** `nixfleet up`: the whole backend on this machine. */
export function addUpCommand(program: Command): void {
  program
    .command('up')
    .description('run the whole backend on this machine and roll a fleet out to agents in sandboxed roots')
    .option('--demo', 'play a scenario on fresh state, print a summary and end')
    .option('--fleet <dir>', 'the fleet directory', resolve(checkoutDir, 'examples/acme'))
    .option('--state-dir <dir>', 'where everything is kept; a second start goes on from there', defaultStateDir)
    .option('--ports <how>', 'fixed: 7401 to 7407; auto: any free ones (default: fixed, with --demo auto)')
    .action(async (flags: UpFlags) => {
      process.exitCode = await up(flags);
    });
}
