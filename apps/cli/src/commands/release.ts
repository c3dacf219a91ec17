import { setTimeout as sleep } from 'node:timers/promises';
import { type BuiltFleet, buildFleet } from '@nixfleet/fleet';
import {
  type CreateRelease,
  FleetError,
  type ReleaseDetail,
  ReleaseDetail as ReleaseDetailSchema,
  type ReleaseHost,
  ReleaseList,
  type ReleaseSignature,
  type ReleaseSummary,
  RevisionDetail,
  type SubmitRevision,
} from '@nixfleet/schema';
import { releaseId, signRelease } from '@nixfleet/trust';
import type { Command } from 'commander';
import { type Context, parseCount, parseDuration } from '../context.ts';
import { loadFleet } from '../fleet-directory.ts';
import { readSecretKey } from '../keys.ts';
import { type Column, count, formatAgo, ProgressLine, paint, shortId, show, storeName } from '../output.ts';

const pollMs = 250;

interface SignFlags {
  readonly fleet: string;
  readonly key?: string;
  readonly expires: string;
}

interface CreateFlags extends SignFlags {
  readonly notes?: string;
  readonly sign: boolean;
  readonly timeout: string;
}

/** Sends the fleet's files and waits until every closure is in the cache. */
async function submitAndBuild(context: Context, fleet: BuiltFleet, timeoutSeconds: number): Promise<RevisionDetail> {
  const body: SubmitRevision = { files: [...fleet.files] };
  const line = new ProgressLine();
  let revision = await context.resolver.ask(RevisionDetail, '/v1/revisions', {
    method: 'POST',
    body,
    timeoutMs: 300_000,
  });
  const giveUpMs = Date.now() + timeoutSeconds * 1000;
  while (revision.state === 'building') {
    line.show(
      `revision ${shortId(revision.revision)}: ${revision.builtCount}/${count(revision.hostCount, 'closure')} in the cache`,
    );
    if (Date.now() > giveUpMs)
      throw new FleetError(
        'timed_out',
        `revision ${revision.revision} is not built after ${timeoutSeconds} s${revision.failure === undefined ? '' : `: ${revision.failure}`}`,
      );
    await sleep(pollMs);
    revision = await context.resolver.ask(RevisionDetail, `/v1/revisions/${revision.revision}`);
  }
  if (revision.state === 'failed')
    throw new FleetError(
      'unavailable',
      `revision ${revision.revision} could not be built: ${revision.failure ?? 'no reason given'}`,
    );
  line.done(`revision ${shortId(revision.revision)}: ${count(revision.hostCount, 'closure')} in the cache`);
  return revision;
}

/** What this machine computed must be what the backend holds: a key never signs a server's claim. */
function compareWithOwn(theirs: readonly ReleaseHost[], fleet: BuiltFleet): void {
  const own = new Map(fleet.hosts.map((host) => [host.host, host]));
  const differing = theirs.filter(
    (host) =>
      own.get(host.host)?.toplevel !== host.toplevel || own.get(host.host)?.closureDigest !== host.closureDigest,
  );
  if (theirs.length === own.size && differing.length === 0) return;
  const named = differing
    .slice(0, 3)
    .map((h) => `${h.host}: backend ${h.toplevel}, this machine ${own.get(h.host)?.toplevel ?? 'no such host'}`);
  throw new FleetError(
    'invalid_signature',
    `the backend's closures are not those that this machine computed from the fleet; nothing was signed. ${named.join('; ') || `backend ${theirs.length} hosts, this machine ${own.size}`}`,
  );
}

async function sign(
  context: Context,
  fleetName: string,
  hosts: readonly ReleaseHost[],
  flags: SignFlags,
): Promise<ReleaseSignature> {
  const keyFile = flags.key ?? context.settings.keyFile;
  if (keyFile === undefined)
    throw new FleetError(
      'invalid_input',
      'no release key: give --key FILE or set NIXFLEET_RELEASE_KEY_FILE (nixfleet key generate makes one)',
    );
  const key = readSecretKey(keyFile);
  const { lastSequence } = await context.deployer.ask(ReleaseList, '/v1/releases?limit=1');
  const nowMs = Date.now();
  // Whole seconds: what a person compares with a clock.
  const iso = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
  const terms = {
    sequence: lastSequence + 1,
    issuedAt: iso(nowMs),
    expiresAt: iso(nowMs + parseDuration('--expires', flags.expires) * 1000),
  };
  return signRelease({ fleet: fleetName, hosts }, terms, key);
}

/** Submits, waits, compares, signs, stores: the whole way from a fleet directory to a release. */
export async function createRelease(context: Context, flags: CreateFlags): Promise<ReleaseDetail> {
  const fleet = buildFleet(await loadFleet(flags.fleet));
  const revision = await submitAndBuild(context, fleet, parseDuration('--timeout', flags.timeout));
  compareWithOwn(revision.hosts, fleet);
  const hosts = fleet.hosts.map(({ host, toplevel, closureDigest }) => ({ host, toplevel, closureDigest }));
  const signature = flags.sign ? await sign(context, fleet.fleet, hosts, flags) : undefined;
  const body: CreateRelease = {
    fleet: fleet.fleet,
    revision: revision.revision,
    hosts,
    ...(flags.notes === undefined ? {} : { notes: flags.notes }),
    ...(signature === undefined ? {} : { signature }),
  };
  // The deployer hears of the last closure by an event: it may be a moment behind.
  for (let tries = 0; ; tries += 1) {
    try {
      return await context.deployer.ask(ReleaseDetailSchema, '/v1/releases', { method: 'POST', body });
    } catch (error) {
      if (!(error instanceof FleetError) || error.code !== 'conflict' || tries >= 40) throw error;
      await sleep(pollMs);
    }
  }
}

async function signExisting(context: Context, id: string, flags: SignFlags): Promise<ReleaseDetail> {
  const release = await context.deployer.ask(ReleaseDetailSchema, `/v1/releases/${encodeURIComponent(id)}`);
  const fleet = buildFleet(await loadFleet(flags.fleet));
  compareWithOwn(release.hosts, fleet);
  if (releaseId({ fleet: fleet.fleet, hosts: release.hosts }) !== release.release)
    throw new FleetError('invalid_signature', `release ${release.release} does not have the content that its id says`);
  const signature = await sign(context, release.fleet, release.hosts, flags);
  return context.deployer.ask(ReleaseDetailSchema, `/v1/releases/${release.release}/signatures`, {
    method: 'POST',
    body: signature,
  });
}

const releaseColumns: readonly Column<ReleaseSummary>[] = [
  { title: 'RELEASE', value: (r) => shortId(r.release) },
  { title: 'REVISION', value: (r) => shortId(r.revision) },
  { title: 'HOSTS', value: (r) => String(r.hostCount) },
  {
    title: 'SEQUENCE',
    value: (r) => (r.signature === undefined ? 'unsigned' : String(r.signature.sequence)),
    format: (r) => (r.signature === undefined ? 'yellow' : undefined),
  },
  { title: 'EXPIRES', value: (r) => r.signature?.expiresAt ?? '-' },
  { title: 'CREATED', value: (r) => formatAgo(r.createdAt) },
  { title: 'BY', value: (r) => r.createdBy },
  { title: 'NOTES', value: (r) => r.notes ?? '' },
];

const hostColumns: readonly Column<ReleaseHost>[] = [
  { title: 'HOST', value: (h) => h.host },
  { title: 'TOPLEVEL', value: (h) => h.toplevel },
  { title: 'CLOSURE DIGEST', value: (h) => h.closureDigest.slice(0, 16) },
];

interface HostChange {
  readonly host: string;
  readonly change: 'added' | 'removed' | 'changed';
  readonly from?: string;
  readonly to?: string;
}

/** Hosts whose closure differs between two releases. */
export function diffReleases(a: readonly ReleaseHost[], b: readonly ReleaseHost[]): HostChange[] {
  const [before, after] = [new Map(a.map((h) => [h.host, h.toplevel])), new Map(b.map((h) => [h.host, h.toplevel]))];
  return [...new Set([...before.keys(), ...after.keys()])].sort().flatMap((host): HostChange[] => {
    const [from, to] = [before.get(host), after.get(host)];
    if (from === to) return [];
    return [
      {
        host,
        change: from === undefined ? 'added' : to === undefined ? 'removed' : 'changed',
        ...(from === undefined ? {} : { from }),
        ...(to === undefined ? {} : { to }),
      },
    ];
  });
}

const changeColumns: readonly Column<HostChange>[] = [
  { title: 'HOST', value: (c) => c.host },
  {
    title: 'CHANGE',
    value: (c) => c.change,
    format: (c) => (c.change === 'added' ? 'green' : c.change === 'removed' ? 'red' : 'yellow'),
  },
  { title: 'FROM', value: (c) => (c.from === undefined ? '-' : `${c.from.slice(11, 19)} ${storeName(c.from)}`) },
  { title: 'TO', value: (c) => (c.to === undefined ? '-' : `${c.to.slice(11, 19)} ${storeName(c.to)}`) },
];

const describe = (release: ReleaseDetail): string =>
  `release ${release.release}  ${release.signature === undefined ? paint('yellow', 'unsigned') : `${paint('green', 'signed')} by ${release.signature.signature.split(':')[0]}, sequence ${release.signature.sequence}, expires ${release.signature.expiresAt}`}\n${count(release.hostCount, 'host')} of fleet ${release.fleet}, revision ${shortId(release.revision)}`;

/** `nixfleet release …`. */
export function addReleaseCommands(program: Command, context: () => Context): void {
  const release = program.command('release').description('releases: which closure each host should be, signed');
  const signOptions = (command: Command): Command =>
    command
      .option('--fleet <dir>', 'the fleet directory: the closures are computed from it and compared', '.')
      .option('--key <file>', 'secret release key')
      .option('--expires <duration>', 'how long hosts may act on it', '30d');
  signOptions(release.command('create'))
    .description('resolve the fleet, build every closure, sign and store the release')
    .option('--notes <text>', 'what changes, for the people who read the list')
    .option('--no-sign', 'store it unsigned; somebody with the key signs it later')
    .option('--timeout <duration>', 'how long to wait for the closures', '15m')
    .action(async (flags: CreateFlags) => {
      const current = context();
      const created = await createRelease(current, flags);
      current.output.print(current.output.json ? JSON.stringify(created, undefined, 2) : describe(created));
    });
  signOptions(release.command('sign'))
    .description('sign a stored release, after computing its closures here')
    .argument('<release>', 'id, or its beginning')
    .action(async (id: string, flags: SignFlags) => {
      const current = context();
      const signed = await signExisting(current, id, flags);
      current.output.print(current.output.json ? JSON.stringify(signed, undefined, 2) : describe(signed));
    });
  release
    .command('list')
    .description('newest first')
    .option('--limit <n>', 'how many', '20')
    .action(async (flags: { limit: string }) => {
      const { deployer, output } = context();
      const list = await deployer.ask(ReleaseList, `/v1/releases?limit=${parseCount('--limit', flags.limit, 1, 1000)}`);
      show(output, list, list.releases, releaseColumns, 'no releases yet: nixfleet release create');
    });
  release
    .command('show')
    .description('every host of a release')
    .argument('<release>', 'id, or its beginning')
    .action(async (id: string) => {
      const { deployer, output } = context();
      const detail = await deployer.ask(ReleaseDetailSchema, `/v1/releases/${encodeURIComponent(id)}`);
      if (!output.json) output.print(`${describe(detail)}\n`);
      show(output, detail, detail.hosts, hostColumns, 'no hosts');
    });
  release
    .command('diff')
    .description('hosts whose closure differs between two releases')
    .argument('<from>', 'id, or its beginning')
    .argument('<to>', 'id, or its beginning')
    .action(async (from: string, to: string) => {
      const { deployer, output } = context();
      const [a, b] = await Promise.all(
        [from, to].map((id) => deployer.ask(ReleaseDetailSchema, `/v1/releases/${encodeURIComponent(id)}`)),
      );
      const changes = diffReleases(a?.hosts ?? [], b?.hosts ?? []);
      show(output, { from: a?.release, to: b?.release, changes }, changes, changeColumns, 'no host changes');
    });
}
