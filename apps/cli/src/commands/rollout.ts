import {
  type CreateRollout,
  FleetError,
  type HostSelector,
  RolloutDetail,
  RolloutList,
  type RolloutPolicy,
  type RolloutSummary,
  type RolloutTarget,
} from '@nixfleet/schema';
import type { Command } from 'commander';
import { type Context, parseCount, parseDuration } from '../context.ts';
import { exitCodes } from '../exit-codes.ts';
import { type Column, formatAgo, formatBar, formatTable, ProgressLine, paint, shortId, show } from '../output.ts';
import { watchRollout } from '../rollout-stream.ts';

const total = (counts: Record<string, number>): number => Object.values(counts).reduce((sum, n) => sum + n, 0);

const stateColour = (state: string): 'green' | 'red' | 'yellow' | undefined =>
  state === 'completed' || state === 'converged'
    ? 'green'
    : state === 'failed' || state === 'cancelled'
      ? 'red'
      : state === 'paused' || state === 'unreachable'
        ? 'yellow'
        : undefined;

const rolloutColumns: readonly Column<RolloutSummary>[] = [
  { title: 'ROLLOUT', value: (r) => shortId(r.rollout) },
  { title: 'CHANNEL', value: (r) => r.channel },
  { title: 'RELEASE', value: (r) => shortId(r.release) },
  { title: 'STATE', value: (r) => r.state, format: (r) => stateColour(r.state) },
  { title: 'WAVE', value: (r) => `${Math.min(r.currentWave + 1, r.waveCount)}/${r.waveCount}` },
  {
    title: 'CONVERGED',
    value: (r) =>
      `${r.waves.reduce((n, w) => n + w.counts.converged, 0)}/${r.waves.reduce((n, w) => n + total(w.counts), 0)}`,
  },
  { title: 'STARTED', value: (r) => formatAgo(r.createdAt) },
  { title: 'REASON', value: (r) => r.reason ?? '' },
];

const targetColumns: readonly Column<RolloutTarget>[] = [
  { title: 'HOST', value: (t) => t.host },
  { title: 'SITE', value: (t) => t.site },
  { title: 'WAVE', value: (t) => String(t.wave + 1) },
  {
    title: 'STATE',
    value: (t) => (t.returned ? `${t.state}, returned` : t.state),
    format: (t) => stateColour(t.state),
  },
  { title: 'STEP', value: (t) => t.step ?? '-' },
  { title: 'REASON', value: (t) => [t.reason, t.detail].filter(Boolean).join(': ').slice(0, 160) },
];

/** Bars by wave and the hosts that need a look. */
export function formatRollout(rollout: RolloutDetail): string {
  const head = `rollout ${rollout.rollout}  ${paint(stateColour(rollout.state) ?? 'cyan', rollout.state)}  channel ${rollout.channel}  release ${shortId(rollout.release)}`;
  const waves = rollout.waves.map(
    (w) =>
      `  wave ${w.wave + 1}  ${formatBar(w.counts.converged, w.counts.failed, total(w.counts))}${w.counts.failed > 0 ? `  ${w.counts.failed} failed` : ''}${w.counts.unreachable > 0 ? `  ${w.counts.unreachable} not reached` : ''}`,
  );
  const troubled = rollout.targets.filter((t) => t.state === 'failed' || t.state === 'unreachable' || t.returned);
  return [
    head,
    ...(rollout.reason === undefined ? [] : [`  ${rollout.reason}`]),
    ...waves,
    ...(troubled.length === 0 ? [] : ['', formatTable(troubled.slice(0, 20), targetColumns)]),
  ].join('\n');
}

/** Follows a rollout until it is over or paused; shows one line of progress meanwhile. */
export async function waitForRollout(
  context: Context,
  rollout: string,
  timeoutSeconds: number,
): Promise<RolloutDetail> {
  const line = new ProgressLine();
  const giveUpMs = Date.now() + timeoutSeconds * 1000;
  const { deployerGrpcAddress: address, token } = context.settings;
  let state = 'not known';
  for await (const progress of watchRollout({ address, token: token(), rollout, giveUpMs })) {
    const wave = progress.waves.find((w) => w.wave === progress.currentWave) ?? progress.waves.at(-1);
    const bar = formatBar(wave?.converged ?? 0, wave?.failed ?? 0, wave?.hosts ?? 0);
    const shownWave = Math.min(progress.currentWave + 1, progress.waveCount);
    state = progress.state;
    const text = `${shortId(rollout)}  wave ${shownWave}/${progress.waveCount}  ${bar}`;
    if (progress.over) {
      line.done(`${text}  ${state}`);
      return context.deployer.ask(RolloutDetail, `/v1/rollouts/${rollout}`);
    }
    line.show(text);
  }
  throw new FleetError(
    'timed_out',
    `rollout ${rollout} is still ${state} after ${timeoutSeconds} s; it goes on: nixfleet rollout status ${shortId(rollout)}`,
  );
}

interface DeployFlags {
  readonly channel: string;
  readonly sites?: string[];
  readonly tags?: string[];
  readonly hosts?: string[];
  readonly onFailure?: string;
  readonly failureThreshold?: string;
  readonly soak?: string;
  readonly wait?: boolean;
  readonly timeout: string;
}

function readPolicy(flags: DeployFlags): Partial<RolloutPolicy> {
  const { onFailure, failureThreshold, soak } = flags;
  if (onFailure !== undefined && onFailure !== 'pause' && onFailure !== 'halt' && onFailure !== 'revert') {
    throw new FleetError('invalid_input', `--on-failure takes pause, halt or revert, got ${JSON.stringify(onFailure)}`);
  }
  const threshold =
    failureThreshold === undefined || failureThreshold.endsWith('%')
      ? failureThreshold
      : parseCount('--failure-threshold', failureThreshold, 0, 1_000_000);
  return {
    ...(onFailure === undefined ? {} : { onFailure }),
    ...(threshold === undefined ? {} : { failureThreshold: threshold }),
    ...(soak === undefined ? {} : { soakSeconds: parseDuration('--soak', soak) }),
  };
}

function readSelector(flags: DeployFlags): HostSelector | undefined {
  const { sites, tags, hosts } = flags;
  if (sites === undefined && tags === undefined && hosts === undefined) return undefined;
  return {
    ...(sites === undefined ? {} : { sites }),
    ...(tags === undefined ? {} : { tags }),
    ...(hosts === undefined ? {} : { hosts }),
  };
}

/** Starts a rollout; with `--wait`, ends as the rollout ends. */
async function deploy(context: Context, release: string, flags: DeployFlags): Promise<void> {
  const select = readSelector(flags);
  const policy = readPolicy(flags);
  const body: CreateRollout = {
    release,
    channel: flags.channel,
    ...(select === undefined ? {} : { select }),
    ...(Object.keys(policy).length === 0 ? {} : { policy }),
  };
  const created = await context.deployer.ask(RolloutDetail, '/v1/rollouts', { method: 'POST', body });
  const detail =
    flags.wait === true
      ? await waitForRollout(context, created.rollout, parseDuration('--timeout', flags.timeout))
      : created;
  context.output.print(context.output.json ? JSON.stringify(detail, undefined, 2) : formatRollout(detail));
  if (flags.wait === true && detail.state !== 'completed') process.exitCode = exitCodes.rolloutFailed;
}

/** `nixfleet deploy` and `nixfleet rollout …`. */
export function addRolloutCommands(program: Command, context: () => Context): void {
  program
    .command('deploy')
    .description('roll a signed release out to the hosts of a channel, by its policy')
    .argument('<release>', 'id of the release, or its first 8 characters or more')
    .requiredOption('--channel <name>', 'hosts that follow this channel')
    .option('--sites <names...>', 'only hosts at these sites')
    .option('--tags <tags...>', 'only hosts that carry all of these tags')
    .option('--hosts <names...>', 'only these hosts')
    .option('--on-failure <what>', 'pause, halt or revert')
    .option('--failure-threshold <n>', 'failures of a wave that are tolerated: a count or a percentage')
    .option('--soak <duration>', 'how long a wave must stay healthy')
    .option('--wait', `wait for the end; exit code ${exitCodes.rolloutFailed} unless it completed`)
    .option('--timeout <duration>', 'how long to wait', '1h')
    .action((release: string, flags: DeployFlags) => deploy(context(), release, flags));
  const rollout = program
    .command('rollout')
    .description('rollouts: what goes where, how far it is, and what stopped it');
  rollout
    .command('list')
    .description('newest first')
    .option('--limit <n>', 'how many', '20')
    .action(async (flags: { limit: string }) => {
      const { deployer, output } = context();
      const list = await deployer.ask(RolloutList, `/v1/rollouts?limit=${parseCount('--limit', flags.limit, 1, 1000)}`);
      show(output, list, list.rollouts, rolloutColumns, 'no rollouts yet: nixfleet deploy RELEASE --channel NAME');
    });
  rollout
    .command('status')
    .description('one rollout, by wave, with every host that needs a look')
    .argument('<rollout>', 'id, or its beginning')
    .action(async (id: string) => {
      const { deployer, output } = context();
      const detail = await deployer.ask(RolloutDetail, `/v1/rollouts/${encodeURIComponent(id)}`);
      output.print(output.json ? JSON.stringify(detail, undefined, 2) : formatRollout(detail));
    });
  const verbs = {
    pause: 'dispatch nothing more until it is resumed',
    resume: 'go on; failures so far are accepted, silent hosts are tried again',
    cancel: 'end it; hosts stay as they are',
  } as const;
  for (const [verb, description] of Object.entries(verbs)) {
    rollout
      .command(verb)
      .description(description)
      .argument('<rollout>', 'id, or its beginning')
      .action(async (id: string) => {
        const { deployer, output } = context();
        const detail = await deployer.ask(RolloutDetail, `/v1/rollouts/${encodeURIComponent(id)}/${verb}`, {
          method: 'POST',
          body: {},
        });
        output.print(output.json ? JSON.stringify(detail, undefined, 2) : formatRollout(detail));
      });
  }
}
