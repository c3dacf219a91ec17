import { readdir } from 'node:fs/promises';
import { isPortFree, stopLeftover } from '@nixfleet/infra';
import { FleetError } from '@nixfleet/schema';
import { type AgentHost, startAgents } from './agents.ts';
import { startInfrastructure, stopLeftoverInfrastructure } from './infrastructure.ts';
import { chooseFreePorts, claimFixedPorts, type Ports } from './ports.ts';
import type { Reporter } from './reporter.ts';
import { openSecrets, type Secrets, writeCliFile } from './secrets.ts';
import { awaitOperators, grpcAddressOf, type ServiceUrls, startServices } from './services.ts';
import { readIfThere, readOrCreate, type StateDir, writePrivateFile } from './state-dir.ts';
import type { Supervisor } from './supervisor.ts';

export interface BackendOptions {
  readonly state: StateDir;
  readonly ports: 'fixed' | 'auto';
  readonly fleet: string;
  readonly hosts: readonly AgentHost[];
}

export interface Backend {
  readonly urls: ServiceUrls;
  readonly natsUrl: string;
  readonly ports: Ports;
  readonly secrets: Secrets;
}

/** Ends what a killed run left: agents and services by their pid files, then NATS and Postgres. */
export async function stopLeftovers(state: StateDir): Promise<void> {
  const names = (await readdir(state.runDir)).filter((name) => name.endsWith('.pid'));
  await Promise.all(names.map((name) => stopLeftover(state.pidFile(name.slice(0, -'.pid'.length)), state.path)));
  await stopLeftoverInfrastructure(state);
}

/** Keys and credentials are a fleet's: a directory serves the one that it was begun with. */
async function claimForFleet(state: StateDir, fleet: string): Promise<void> {
  const file = state.secretFile('fleet');
  const known = (await readOrCreate(file, () => `${fleet}\n`)).trim();
  if (known !== fleet)
    throw new FleetError(
      'invalid_input',
      `${state.path} belongs to the fleet ${known}, this one is ${fleet}: choose another directory with --state-dir DIR`,
    );
}

/** The ports of this start; free ones are remembered for the next. */
async function claimPorts(state: StateDir, choice: BackendOptions['ports']): Promise<Ports> {
  if (choice === 'fixed') return claimFixedPorts(isPortFree);
  const remembered = await readIfThere(state.portsFile);
  const former = remembered === undefined ? undefined : (JSON.parse(remembered) as Ports);
  const ports = await chooseFreePorts(isPortFree, Math.random, former);
  await writePrivateFile(state.portsFile, JSON.stringify(ports));
  return ports;
}

/** Brings everything up in order: Postgres, NATS, the services, the agents. The supervisor stops it. */
export async function startBackend(
  supervisor: Supervisor,
  reporter: Reporter,
  { state, ports: choice, fleet, hosts }: BackendOptions,
): Promise<Backend> {
  await stopLeftovers(state);
  await claimForFleet(state, fleet);
  const secrets = await openSecrets(state, fleet);
  const ports = await claimPorts(state, choice);
  const infrastructure = await startInfrastructure(supervisor, reporter, state, secrets, ports);
  const urls = await startServices(supervisor, reporter, state, secrets, infrastructure, ports);
  await awaitOperators(urls, secrets, supervisor.signal);
  await writeCliFile(state, {
    resolverUrl: urls.resolver,
    deployerUrl: urls.deployer,
    cacheUrl: urls.cache,
    telemetryUrl: urls.telemetry,
    deployerGrpcAddress: grpcAddressOf(ports),
  });
  const { natsUrl } = infrastructure;
  await startAgents({ supervisor, reporter, state, secrets, natsUrl, fleet }, hosts);
  return { urls, natsUrl, ports, secrets };
}
