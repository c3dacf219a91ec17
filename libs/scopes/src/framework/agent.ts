import {
  bool,
  type Config,
  declareOption,
  int,
  listOf,
  nullOr,
  type Option,
  port,
  str,
  submodule,
} from '@nixfleet/modules';
import type { HealthChecks } from '@nixfleet/schema';
import { hostName } from '../host-spec.ts';
import { defineScope, type Platform } from '../scope.ts';

const option = 'services.nixfleet-agent';

const command = submodule<HealthChecks['command'][number]>({
  options: [
    declareOption('name', str, { description: 'Name of the check in reports' }),
    declareOption('command', str, { description: 'Shell command; healthy when it ends with 0' }),
    declareOption('interval', int, { description: 'Seconds between tries', default: 10 }),
    declareOption('timeout', int, { description: 'Seconds that a try may take', default: 5 }),
  ],
});
const http = submodule<HealthChecks['http'][number]>({
  options: [
    declareOption('url', str, { description: 'What to ask' }),
    declareOption('expectedStatus', int, { description: 'Status of a healthy answer', default: 200 }),
    declareOption('interval', int, { description: 'Seconds between tries', default: 5 }),
    declareOption('timeout', int, { description: 'Seconds that a try may take', default: 3 }),
  ],
});
const systemd = submodule<HealthChecks['systemd'][number]>({
  options: [declareOption('units', listOf(str), { description: 'Units that must be active', default: [] })],
});
const launchd = submodule<{ readonly labels: readonly string[] }>({
  options: [declareOption('labels', listOf(str), { description: 'Jobs that must be loaded', default: [] })],
});
/** nix-darwin's agent retries at its own pace: the original has no intervals there. */
const withoutInterval = (type: typeof command | typeof http): ReturnType<typeof submodule> =>
  submodule({
    options: [...type.tree.children.values()].flatMap((node) =>
      node.option === undefined || node.key === 'interval' ? [] : [node.option],
    ),
  });

export const commandChecks = declareOption(`${option}.healthChecks.command`, listOf(command), {
  description: 'Commands that must succeed',
  default: [],
});
export const httpChecks = declareOption(`${option}.healthChecks.http`, listOf(http), {
  description: 'URLs that must answer',
  default: [],
});
export const systemdChecks = declareOption(`${option}.healthChecks.systemd`, listOf(systemd), {
  description: 'Units that must be active',
  default: [],
});

const shared: readonly Option[] = [
  declareOption(`${option}.enable`, bool, {
    description: 'Whether the agent runs as a service of the host',
    default: false,
    example: true,
  }),
  declareOption(`${option}.controlPlaneUrl`, str, {
    description: 'Address of the fleet',
    example: 'https://fleet.example.com',
  }),
  declareOption(`${option}.machineId`, str, {
    description: 'Name of the host in the fleet',
    default: (c: Config) => c.get(hostName),
    defaultText: 'hostSpec.hostName',
  }),
  declareOption(`${option}.cacheUrl`, nullOr(str), {
    description: 'Binary cache to fetch from',
    default: null,
    example: 'https://cache.fleet.example.com',
  }),
  declareOption(`${option}.dbPath`, str, {
    description: 'Where the agent keeps its state',
    default: '/var/lib/nixfleet/state.db',
  }),
  declareOption(`${option}.pollInterval`, int, { description: 'Seconds', default: 60 }),
  declareOption(`${option}.retryInterval`, int, { description: 'Seconds', default: 30 }),
  declareOption(`${option}.healthInterval`, int, { description: 'Seconds', default: 60 }),
  declareOption(`${option}.dryRun`, bool, { description: 'Whether to stop before activation', default: false }),
  declareOption(`${option}.allowInsecure`, bool, { description: 'Whether plain HTTP is accepted', default: false }),
  declareOption(`${option}.tags`, listOf(str), { description: 'Tags', default: [] }),
  declareOption(`${option}.metricsPort`, nullOr(port), { description: 'Port of the agent metrics', default: null }),
  declareOption(`${option}.tls.caCert`, nullOr(str), {
    description: 'Authority of the fleet',
    default: null,
    example: '/etc/nixfleet/fleet-ca.pem',
  }),
  declareOption(`${option}.tls.clientCert`, nullOr(str), {
    description: 'Certificate of the host',
    default: null,
    example: '/run/secrets/agent-cert.pem',
  }),
  declareOption(`${option}.tls.clientKey`, nullOr(str), {
    description: 'Key of the host',
    default: null,
    example: '/run/secrets/agent-key.pem',
  }),
];

const describeFor = (platform: Platform): { description: string; platforms: Platform[] } => ({
  description: 'What the agent checks before it confirms a closure',
  platforms: [platform],
});

export const agent = defineScope({
  name: 'nixfleet-agent',
  ...describeFor('nixos'),
  options: [
    ...shared,
    commandChecks,
    httpChecks,
    systemdChecks,
    declareOption(`${option}.metricsOpenFirewall`, bool, {
      description: 'Whether scrapers are let in',
      default: false,
    }),
  ],
});

export const agentDarwin = defineScope({
  name: 'nixfleet-agentDarwin',
  ...describeFor('darwin'),
  options: [
    ...shared,
    declareOption(commandChecks.key, listOf(withoutInterval(command)), {
      description: commandChecks.description,
      default: [],
    }),
    declareOption(httpChecks.key, listOf(withoutInterval(http)), { description: httpChecks.description, default: [] }),
    declareOption(`${option}.healthChecks.launchd`, listOf(launchd), {
      description: 'Jobs that must be loaded',
      default: [],
    }),
  ],
});
