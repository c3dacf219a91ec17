import type { BuiltFleet, BuiltHost } from '@nixfleet/fleet';
import { FleetError } from '@nixfleet/schema';
import type { AgentHost } from './agents.ts';

/** Hosts that get an agent here: those that run Linux and follow a channel. */
export const listAgentHosts = (fleet: BuiltFleet): AgentHost[] =>
  fleet.hosts.flatMap(({ host, site, channel, platform }) =>
    platform.endsWith('-linux') && channel !== undefined ? [{ host, site, channel }] : [],
  );

const demoChannel = 'edge';
/** The demo waits for the deadline of a backup: one that is hours away is no use. */
const longestDeadlineSeconds = 30;

export interface DemoHosts {
  /** Hosts of the channel that goes first and serve acme's website. */
  readonly webHosts: readonly string[];
  /** A host that declares a backup job with deadlines of seconds. */
  readonly backupHost: string;
}

function servesWebsite({ config }: BuiltHost): boolean {
  const acme = config['acme'] as { web?: { workers?: unknown; enable?: unknown } } | undefined;
  return typeof acme?.web?.workers === 'number' && acme.web.enable !== false;
}

const isDueSoon = ({ jobs }: BuiltHost): boolean =>
  jobs.some(
    ({ timeoutSeconds, graceSeconds }) =>
      timeoutSeconds !== undefined &&
      graceSeconds !== undefined &&
      timeoutSeconds + graceSeconds <= longestDeadlineSeconds,
  );

/** The hosts that the demo's scenario plays on. Throws when the fleet is not made like examples/acme. */
export function chooseDemoHosts({ hosts }: BuiltFleet): DemoHosts {
  const webHosts = hosts.filter((host) => host.channel === demoChannel && servesWebsite(host)).map(({ host }) => host);
  const backupHost = hosts.find(isDueSoon)?.host;
  if (webHosts.length === 0 || backupHost === undefined)
    throw new FleetError(
      'invalid_input',
      `the demo needs a host on the channel ${demoChannel} with acme.web, and a host with a backup that is late within ${longestDeadlineSeconds} s, as examples/acme has them`,
    );
  return { webHosts, backupHost };
}
