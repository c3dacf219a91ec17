import { setTimeout as sleep } from 'node:timers/promises';
import { BackupList, DeployerHostList, HostHealthList, RolloutList } from '@nixfleet/schema';
import type { Command } from 'commander';
import { type Context, parseCount } from '../context.ts';
import { type Column, formatAgo, formatBar, paint, shortId, show, storeName } from '../output.ts';

interface HostRow {
  readonly host: string;
  readonly site: string;
  readonly role: string;
  readonly channel: string;
  readonly health: string;
  readonly lastSeenAt?: string;
  readonly running?: string;
  readonly release?: string;
}

const healthColour = (state: string): 'green' | 'yellow' | 'red' | undefined =>
  state === 'up'
    ? 'green'
    : state === 'late' || state === 'running'
      ? 'yellow'
      : state === 'down' || state === 'failing'
        ? 'red'
        : undefined;

const hostColumns: readonly Column<HostRow>[] = [
  { title: 'HOST', value: (h) => h.host },
  { title: 'SITE', value: (h) => h.site },
  { title: 'ROLE', value: (h) => h.role },
  { title: 'CHANNEL', value: (h) => h.channel },
  { title: 'HEALTH', value: (h) => h.health, format: (h) => healthColour(h.health) },
  { title: 'LAST SEEN', value: (h) => formatAgo(h.lastSeenAt) },
  { title: 'RUNS', value: (h) => storeName(h.running) },
  { title: 'RELEASE', value: (h) => (h.release === undefined ? '-' : shortId(h.release)) },
];

/** At most this many pages of 1,000: what a terminal is asked to show has an end. */
const maxPages = 100;

/** Hosts as the deployer has them, with their health as telemetry knows it. */
async function listHosts(context: Context): Promise<HostRow[]> {
  const health = new Map<string, { state: string; lastSeenAt?: string }>();
  let cursor = '';
  for (let page = 0; page < maxPages; page += 1) {
    const list = await context.telemetry.ask(HostHealthList, `/v1/hosts?limit=1000${cursor}`);
    for (const host of list.hosts) health.set(host.host, host);
    if (list.nextCursor === undefined) break;
    cursor = `&cursor=${encodeURIComponent(list.nextCursor)}`;
  }
  const rows: HostRow[] = [];
  cursor = '';
  for (let page = 0; page < maxPages; page += 1) {
    const list = await context.deployer.ask(DeployerHostList, `/v1/hosts?limit=1000${cursor}`);
    for (const host of list.hosts) {
      const known = health.get(host.host);
      rows.push({
        host: host.host,
        site: host.site,
        role: host.role ?? '-',
        channel: host.channel ?? '-',
        health: known?.state ?? 'unknown',
        ...(known?.lastSeenAt === undefined ? {} : { lastSeenAt: known.lastSeenAt }),
        ...(host.running === undefined ? {} : { running: host.running }),
        ...(host.confirmedRelease === undefined ? {} : { release: host.confirmedRelease }),
      });
    }
    if (list.nextCursor === undefined) break;
    cursor = `&cursor=${encodeURIComponent(list.nextCursor)}`;
  }
  return rows;
}

const backupColumns: readonly Column<BackupList['backups'][number]>[] = [
  { title: 'HOST', value: (b) => b.host },
  { title: 'JOB', value: (b) => b.job },
  { title: 'STATE', value: (b) => b.state, format: (b) => healthColour(b.state) },
  { title: 'LAST SUCCESS', value: (b) => formatAgo(b.lastSuccessAt) },
  { title: 'DUE', value: (b) => b.nextDeadlineAt ?? '-' },
  { title: 'SCHEDULE', value: (b) => b.schedule },
];

async function formatStatus(context: Context): Promise<{ value: unknown; text: string }> {
  const [hosts, rollouts, backups] = await Promise.all([
    listHosts(context),
    context.deployer.ask(RolloutList, '/v1/rollouts?limit=5'),
    context.telemetry.ask(BackupList, '/v1/backups?limit=1000'),
  ]);
  const count = (state: string): number => hosts.filter((h) => h.health === state).length;
  const lines = [
    `${paint('bold', 'hosts')}     ${formatBar(count('up'), count('down'), hosts.length)} up${count('late') > 0 ? `, ${count('late')} late` : ''}${count('down') > 0 ? `, ${count('down')} down` : ''}`,
    `${paint('bold', 'backups')}   ${backups.backups.map((b) => `${b.host} ${b.state}`).join(', ') || 'none declared'}`,
    paint('bold', 'rollouts'),
    ...(rollouts.rollouts.length === 0 ? ['  none yet'] : []),
    ...rollouts.rollouts.map((r) => {
      const counts = r.waves.map((w) => w.counts);
      const all = counts.reduce((n, c) => n + Object.values(c).reduce((a, b) => a + b, 0), 0);
      return `  ${shortId(r.rollout)}  ${r.channel.padEnd(10)} ${formatBar(
        counts.reduce((n, c) => n + c.converged, 0),
        counts.reduce((n, c) => n + c.failed, 0),
        all,
      )}  ${r.state}${r.reason === undefined ? '' : `  ${r.reason}`}`;
    }),
  ];
  return { value: { hosts, rollouts: rollouts.rollouts, backups: backups.backups }, text: lines.join('\n') };
}

/** `nixfleet hosts`, `status`, `backups`: what is so right now. */
export function addHostCommands(program: Command, context: () => Context): void {
  program
    .command('hosts')
    .description('every host: site, channel, health, what it runs')
    .action(async () => {
      const current = context();
      const rows = await listHosts(current);
      show(current.output, { hosts: rows }, rows, hostColumns, 'no hosts yet: nixfleet release create');
    });
  program
    .command('backups')
    .description('every backup job: state, last success, when the next is due')
    .argument('[host]', 'only this host')
    .action(async (host: string | undefined) => {
      const { telemetry, output } = context();
      const list = await telemetry.ask(BackupList, '/v1/backups?limit=1000');
      const rows = list.backups.filter((backup) => host === undefined || backup.host === host);
      show(
        output,
        { backups: rows },
        rows,
        backupColumns,
        host === undefined ? 'no host declares a backup' : `${host} declares no backup`,
      );
    });
  program
    .command('status')
    .description('the fleet on one page')
    .option('--watch', 'draw it again until Ctrl-C')
    .option('--interval <seconds>', 'how often with --watch', '2')
    .action(async (flags: { watch?: boolean; interval: string }) => {
      const current = context();
      const intervalMs = parseCount('--interval', flags.interval, 1, 3600) * 1000;
      do {
        const { value, text } = await formatStatus(current);
        if (flags.watch === true && process.stdout.isTTY && !current.output.json)
          process.stdout.write('\u001B[2J\u001B[H');
        current.output.print(current.output.json ? JSON.stringify(value) : text);
        if (flags.watch === true) await sleep(intervalMs);
      } while (flags.watch === true);
    });
}
