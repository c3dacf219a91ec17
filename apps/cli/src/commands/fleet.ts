import { type BuiltFleet, buildFleet, type ExplainedOption, explainOption } from '@nixfleet/fleet';
import { FleetError, formatDiagnostic } from '@nixfleet/schema';
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { loadFleet } from '../fleet-directory.ts';
import { writeNewFleet } from '../new-fleet.ts';
import { type Column, count, formatBytes, formatTable, paint, show, storeName } from '../output.ts';

type BuiltHost = BuiltFleet['hosts'][number];

const sizeOf = (host: BuiltHost): number => host.paths.reduce((sum, path) => sum + path.narSize, 0);

const hostColumns: readonly Column<BuiltHost>[] = [
  { title: 'HOST', value: (h) => h.host },
  { title: 'SITE', value: (h) => h.site },
  { title: 'ROLE', value: (h) => h.role ?? '-' },
  { title: 'PLATFORM', value: (h) => h.platform },
  { title: 'CHANNEL', value: (h) => h.channel ?? '-' },
  { title: 'PATHS', value: (h) => String(h.paths.length) },
  { title: 'SIZE', value: (h) => formatBytes(sizeOf(h)) },
  { title: 'CLOSURE', value: (h) => h.toplevel },
];

const describeHost = (h: BuiltHost): Record<string, unknown> => ({
  host: h.host,
  site: h.site,
  platform: h.platform,
  role: h.role ?? null,
  channel: h.channel ?? null,
  tags: h.tags,
  toplevel: h.toplevel,
  closureDigest: h.closureDigest,
  configDigest: h.configDigest,
  closureSizeBytes: sizeOf(h),
  paths: h.paths.map((path) => path.storePath),
});

function printWarnings(fleet: BuiltFleet): void {
  for (const warning of fleet.warnings) process.stderr.write(`${formatDiagnostic(warning)}\n`);
}

function findHost(fleet: BuiltFleet, name: string): BuiltHost {
  const host = fleet.hosts.find((candidate) => candidate.host === name);
  if (host !== undefined) return host;
  const known = fleet.hosts.map((h) => h.host).join(', ');
  throw new FleetError('not_found', `the fleet has no host ${name}; it has ${known}`);
}

function formatExplanation(explained: ExplainedOption): string {
  const { option, host, value, type, description, isDefault, definitions } = explained;
  const text = JSON.stringify(value, undefined, 2) ?? 'null';
  const head = [
    `${paint('bold', option)} on ${host}`,
    ...(description === undefined || description === '' ? [] : [`  ${description}`]),
    ...(type === undefined ? [] : [`  type   ${type}`]),
    `  value  ${text.replaceAll('\n', '\n         ')}${isDefault ? '   (the default: nothing defines it)' : ''}`,
  ];
  if (definitions.length === 0) return head.join('\n');
  const table = formatTable(definitions, [
    {
      title: '',
      value: (d) => (d.winning ? 'wins' : ''),
      format: (d) => (d.winning ? 'green' : undefined),
    },
    { title: 'PRIORITY', value: (d) => `${d.priority}${d.order === undefined ? '' : ` order ${d.order}`}` },
    { title: 'WHERE', value: (d) => d.place },
    { title: 'FROM', value: (d) => d.from },
    { title: 'VALUE', value: (d) => d.value },
  ]);
  return [...head, '', table].join('\n');
}

/** `nixfleet init|validate|resolve|explain`: what needs no backend. */
export function addFleetCommands(program: Command, context: () => Context): void {
  program
    .command('init')
    .description('make a commented, minimal fleet that validates')
    .argument('<dir>', 'a directory that is empty or not there yet')
    .action(async (dir: string) => {
      const files = await writeNewFleet(dir);
      const { output } = context();
      if (output.json) output.print(JSON.stringify({ dir, files }));
      else
        output.print(
          `${files.map((file) => `wrote ${dir}/${file}`).join('\n')}\n\nnext: nixfleet validate ${dir}\n      nixfleet explain web-01 nixfleet.firewall.enable --fleet ${dir}`,
        );
    });
  program
    .command('validate')
    .description('check a fleet directory: every mistake at once, with file, line and option path')
    .argument('[dir]', 'the fleet directory', '.')
    .action(async (dir: string) => {
      const fleet = buildFleet(await loadFleet(dir));
      printWarnings(fleet);
      const { output } = context();
      const { hosts, sites, channels, revision } = fleet;
      const summary = { fleet: fleet.fleet, revision, hosts: hosts.length, sites: sites.length };
      if (output.json) output.print(JSON.stringify({ ...summary, warnings: fleet.warnings }));
      else
        output.print(
          `${fleet.fleet}: ${count(hosts.length, 'host')} at ${count(sites.length, 'site')}, ${count(Object.keys(channels).length, 'channel')}: valid`,
        );
    });
  program
    .command('resolve')
    .description('the closure of each host; with --host every option and value of one')
    .argument('[dir]', 'the fleet directory', '.')
    .option('--host <name>', 'one host, with its whole configuration')
    .action(async (dir: string, flags: { host?: string }) => {
      const fleet = buildFleet(await loadFleet(dir));
      printWarnings(fleet);
      const { output } = context();
      if (flags.host === undefined) {
        const value = { fleet: fleet.fleet, revision: fleet.revision, hosts: fleet.hosts.map(describeHost) };
        show(output, value, fleet.hosts, hostColumns, 'the fleet has no hosts');
        return;
      }
      const host = findHost(fleet, flags.host);
      if (output.json) output.print(JSON.stringify({ ...describeHost(host), config: host.config }, undefined, 2));
      else {
        const paths = host.paths.map(
          (path) => `  ${formatBytes(path.narSize).padStart(10)}  ${storeName(path.storePath)}`,
        );
        output.print(
          `${JSON.stringify(host.config, undefined, 2)}\n\n${host.toplevel}\n${count(host.paths.length, 'path')}, ${formatBytes(sizeOf(host))}\n${paths.join('\n')}`,
        );
      }
    });
  program
    .command('explain')
    .description('why an option of a host has its value: every definition, where it stands, which one won')
    .argument('<host>', 'the host')
    .argument('<option>', 'path of the option, as Nix writes it')
    .option('--fleet <dir>', 'the fleet directory', '.')
    .action(async (host: string, option: string, flags: { fleet: string }) => {
      const explained = explainOption(await loadFleet(flags.fleet), host, option);
      const { output } = context();
      output.print(output.json ? JSON.stringify(explained, undefined, 2) : formatExplanation(explained));
    });
}
