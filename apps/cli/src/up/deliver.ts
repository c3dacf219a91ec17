import type { BuiltFleet } from '@nixfleet/fleet';
import {
  type CreateRollout,
  FleetError,
  ReleaseDetail,
  ReleaseList,
  RolloutDetail,
  RolloutList,
} from '@nixfleet/schema';
import { releaseId } from '@nixfleet/trust';
import { createRelease } from '../commands/release.ts';
import { waitForRollout } from '../commands/rollout.ts';
import type { Context } from '../context.ts';
import { shortId } from '../output.ts';
import type { AgentHost } from './agents.ts';
import type { Reporter } from './reporter.ts';

export interface DeliverOptions {
  readonly context: Context;
  readonly reporter: Reporter;
  readonly fleetDir: string;
  readonly keyFile: string;
  readonly notes: string;
  /** Hosts that have an agent here; others would never answer. */
  readonly hosts: readonly AgentHost[];
  readonly rolloutTimeoutSeconds: number;
}

/** Rejects as soon as the backend is being stopped, whatever the work does. */
export async function unlessStopped<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason as Error);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  work.catch(() => undefined);
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** The same way as `nixfleet release create`: submit, wait for the closures, compare, sign, store. */
export async function makeRelease({
  context,
  reporter,
  fleetDir,
  keyFile,
  notes,
}: DeliverOptions): Promise<ReleaseDetail> {
  const release = await createRelease(context, {
    fleet: fleetDir,
    key: keyFile,
    expires: '30d',
    sign: true,
    timeout: '5m',
    notes,
  });
  reporter.step(
    `release ${shortId(release.release)}: ${release.hostCount} closures, signed off the servers (sequence ${release.signature?.sequence ?? '-'})`,
  );
  return release;
}

/** Channels that hosts with an agent follow, by name, with these hosts. */
export function groupByChannel(hosts: readonly AgentHost[]): [channel: string, hosts: string[]][] {
  const channels = Map.groupBy(hosts, (host) => host.channel);
  return [...channels]
    .map(([channel, members]): [string, string[]] => [channel, members.map(({ host }) => host)])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

const describeEnd = (rollout: RolloutDetail): string => {
  const converged = rollout.targets.filter((target) => target.state === 'converged').length;
  const reason = rollout.state === 'completed' || rollout.reason === undefined ? '' : `: ${rollout.reason}`;
  return `channel ${rollout.channel}: ${rollout.state}, ${converged} of ${rollout.targets.length} hosts converged${reason}`;
};

/** Follows a rollout to its end and says how it went. */
async function follow(
  { context, reporter, rolloutTimeoutSeconds }: DeliverOptions,
  id: string,
): Promise<RolloutDetail> {
  const rollout = await waitForRollout(context, id, rolloutTimeoutSeconds);
  if (rollout.state === 'completed') reporter.step(describeEnd(rollout));
  else reporter.warn(describeEnd(rollout));
  return rollout;
}

/** Starts a rollout of one channel and follows it. */
async function rollOutChannel(
  options: DeliverOptions,
  release: ReleaseDetail,
  channel: string,
  hosts: string[],
): Promise<RolloutDetail> {
  const body: CreateRollout = { release: release.release, channel, select: { hosts } };
  const created = await options.context.deployer.ask(RolloutDetail, '/v1/rollouts', { method: 'POST', body });
  const { targets, waveCount } = created;
  options.reporter.step(`channel ${channel}: rolling out to ${targets.length} hosts in ${waveCount} waves`);
  return follow(options, created.rollout);
}

/** Rolls a release out channel by channel; stops after the first one that does not complete. */
export async function rollOut(options: DeliverOptions, release: ReleaseDetail): Promise<RolloutDetail[]> {
  const rollouts: RolloutDetail[] = [];
  for (const [channel, hosts] of groupByChannel(options.hosts)) {
    const rollout = await rollOutChannel(options, release, channel, hosts);
    rollouts.push(rollout);
    if (rollout.state !== 'completed') break;
  }
  return rollouts;
}

/** The release that the hosts are to be on, if it is what this fleet directory makes and can still be acted upon. */
async function findCurrent(context: Context, fleet: BuiltFleet): Promise<ReleaseDetail | undefined> {
  const hosts = fleet.hosts.map(({ host, toplevel, closureDigest }) => ({ host, toplevel, closureDigest }));
  const id = releaseId({ fleet: fleet.fleet, hosts });
  const { lastSequence } = await context.deployer.ask(ReleaseList, '/v1/releases?limit=1');
  try {
    const release = await context.deployer.ask(ReleaseDetail, `/v1/releases/${id}`);
    const { signature } = release;
    if (signature === undefined || signature.sequence < lastSequence) return undefined;
    return Date.parse(signature.expiresAt) > Date.now() ? release : undefined;
  } catch (error) {
    if (error instanceof FleetError && error.code === 'not_found') return undefined;
    throw error;
  }
}

/** Goes on with the current release: what is rolled out stays, what runs is followed, what stopped is left to a person. */
async function resume(options: DeliverOptions, release: ReleaseDetail): Promise<void> {
  const { context, reporter } = options;
  reporter.step(`the fleet has not changed: release ${shortId(release.release)} stays`);
  const { rollouts } = await context.deployer.ask(RolloutList, '/v1/rollouts?limit=1000');
  for (const [channel, hosts] of groupByChannel(options.hosts)) {
    const last = rollouts.find((rollout) => rollout.fleet === release.fleet && rollout.channel === channel);
    if (last?.release !== release.release) {
      await rollOutChannel(options, release, channel, hosts);
    } else if (last.state === 'running') {
      await follow(options, last.rollout);
    } else if (last.state === 'completed') {
      reporter.step(`channel ${channel}: rolled out before, nothing to do`);
    } else {
      reporter.warn(
        `channel ${channel}: rollout ${shortId(last.rollout)} is ${last.state} (${last.reason ?? 'no reason given'}); it is left to you: nixfleet rollout status ${shortId(last.rollout)}`,
      );
    }
  }
}

/** Brings the fleet directory to its hosts, unless they have it. */
export async function deliver(options: DeliverOptions, fleet: BuiltFleet): Promise<void> {
  const current = await findCurrent(options.context, fleet);
  if (current === undefined) await rollOut(options, await makeRelease(options));
  else await resume(options, current);
}
