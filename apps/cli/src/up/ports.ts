import { FleetError } from '@nixfleet/schema';

/** What listens, in the order of its ports. */
export const listeners = ['resolver', 'deployer', 'cache', 'telemetry', 'nats', 'postgres', 'grpc'] as const;
export type Listener = (typeof listeners)[number];
export type Ports = Readonly<Record<Listener, number>>;

const firstPort = 7401;
/** Below every system's ephemeral range: no outgoing connection can take one of ours while a service restarts. */
const autoFrom = 20_000;
const autoBlocks = 1000;
const autoTries = 100;

const portsFrom = (first: number): Ports => {
  const ports = listeners.map((listener, i) => [listener, first + i]);
  return Object.fromEntries(ports) as Ports;
};

const programs: Readonly<Record<Listener, string>> = {
  resolver: 'config-resolver',
  deployer: 'deployer',
  cache: 'cache-indexer',
  telemetry: 'telemetry',
  nats: 'nats-server',
  postgres: 'Postgres',
  grpc: "the deployer's gRPC",
};

type IsFree = (port: number) => Promise<boolean>;

/** The documented ports. Throws when some are taken, naming each and who wanted it. */
export async function claimFixedPorts(isFree: IsFree): Promise<Ports> {
  const ports = portsFrom(firstPort);
  const taken: string[] = [];
  for (const listener of listeners)
    if (!(await isFree(ports[listener]))) taken.push(`${ports[listener]} (for ${programs[listener]})`);
  if (taken.length === 0) return ports;
  throw new FleetError(
    'invalid_input',
    `${taken.length === 1 ? 'a port is' : 'ports are'} taken on 127.0.0.1 by another program: ${taken.join(', ')}. Stop it (ss -ltnp shows who it is), or let free ports be chosen: --ports auto`,
  );
}

const areFree = async (isFree: IsFree, ports: Ports): Promise<boolean> =>
  (await Promise.all(listeners.map((listener) => isFree(ports[listener])))).every(Boolean);

/** The ports of the former start, if they are free: intents under way name the cache by its port. Else any in a row. */
export async function chooseFreePorts(isFree: IsFree, random: () => number, former: Ports | undefined): Promise<Ports> {
  if (former !== undefined && (await areFree(isFree, former))) return former;
  for (let tries = 0; tries < autoTries; tries += 1) {
    const ports = portsFrom(autoFrom + Math.floor(random() * autoBlocks) * 10 + 1);
    if (await areFree(isFree, ports)) return ports;
  }
  throw new FleetError('unavailable', `no free ports in a row were found on 127.0.0.1 from ${autoFrom} on`);
}
