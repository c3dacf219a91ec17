import type { LoadedFleet } from '@nixfleet/fleet';
import { FleetError } from '@nixfleet/schema';
import type { AgentHost } from './agents.ts';

/** Hosts that get an agent here: those that run Linux and follow a channel. */
export const listAgentHosts = (fleet: LoadedFleet): AgentHost[] =>
  fleet.hosts
    .filter((host) => host.definition.platform.endsWith('-linux') && host.channel !== undefined)
    .map((host) => ({ host: host.name, site: host.definition.site }));

const demoChannel = 'edge';
const webScope = 'acme.web';
const databaseTag = 'db';

export interface DemoHosts {
  /** Hosts of the channel that goes first and serve acme's website. */
  readonly webHosts: readonly string[];
  /** A host that declares a backup job with deadlines of seconds. */
  readonly backupHost: string;
}

/** The hosts that the demo's scenario plays on. Throws when the fleet is not made like examples/acme. */
export function chooseDemoHosts(fleet: LoadedFleet): DemoHosts {
  const webHosts = fleet.hosts
    .filter((host) => host.channel === demoChannel && host.definition.scopes?.includes(webScope) === true)
    .map((host) => host.name);
  const backupHost = fleet.hosts.find((host) => host.definition.tags?.includes(databaseTag) === true)?.name;
  if (webHosts.length === 0 || backupHost === undefined)
    throw new FleetError(
      'invalid_input',
      `the demo needs a host with the scope ${webScope} on the channel ${demoChannel}, and a host tagged ${databaseTag}, as examples/acme has them`,
    );
  return { webHosts, backupHost };
}
