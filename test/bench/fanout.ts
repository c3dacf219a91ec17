import { type ChildProcess, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { withClient } from '@nixfleet/infra';
import { until } from '@nixfleet/infra/testing';
import { formatPublicKey, generateKeyPair } from '@nixfleet/nix';
import { closureBuilt, hostResolved, type ReleaseHost, type RolloutPolicy, revisionResolved } from '@nixfleet/schema';
import { signRelease } from '@nixfleet/trust';
import type { Bench, BenchResult } from './main.ts';
import { peakRssMiB, treeAnonMiB } from './process-memory.ts';
import { BenchServers } from './servers.ts';
import type { SimulatedAgentsConfig, SimulatedAgentsResult } from './simulated-agents.ts';

const fleet = 'bench';
const channel = 'all';
const siteCount = 20;
const operatorToken = 'bench-operator-token-0123456789';
const deployerDir = join(import.meta.dirname, '../../services/deployer/src/main.ts');
const agentsScript = join(import.meta.dirname, 'simulated-agents.ts');

const hash = (n: number, length: number): string => String(n).padStart(length, '0');
const siteOf = (i: number): string => `site-${i % siteCount}`;
const makeHosts = (count: number): ReleaseHost[] =>
  Array.from({ length: count }, (_, i) => ({
    host: `host-${i}`,
    toplevel: `/nix/store/${hash(i, 32)}-nixos-system-host-${i}`,
    closureDigest: hash(i, 64),
  }));

const policy: RolloutPolicy = {
  waves: [{}],
  soakSeconds: 0,
  healthTimeoutSeconds: 600,
  confirmDeadlineSeconds: 300,
  failureThreshold: 0,
  onFailure: 'halt',
};

/** Tells the deployer of the hosts as config-resolver would. */
async function announce(servers: BenchServers, hosts: readonly ReleaseHost[], revision: string): Promise<void> {
  const sites = Array.from({ length: siteCount }, (_, i) => siteOf(i));
  await servers.publishEvent(revisionResolved, {
    revision,
    fleet,
    hostCount: hosts.length,
    channels: { [channel]: policy },
    sites,
  });
  const chunk = 500;
  for (let start = 0; start < hosts.length; start += chunk)
    await Promise.all(
      hosts.slice(start, start + chunk).flatMap(({ host, toplevel, closureDigest }, i) => [
        servers.publishEvent(hostResolved, {
          revision,
          fleet,
          host,
          site: siteOf(start + i),
          channel,
          platform: 'x86_64-linux',
          tags: [],
          configDigest: closureDigest,
          toplevel,
          jobs: [],
        }),
        servers.publishEvent(closureBuilt, {
          revision,
          fleet,
          host,
          toplevel,
          closureDigest,
          pathCount: 1,
          closureSizeBytes: 1,
        }),
      ]),
    );
}

const message = <T>(child: ChildProcess, accept: (value: unknown) => value is T): Promise<T> =>
  new Promise((resolve, reject) => {
    child.on('message', (value) => {
      if (accept(value)) resolve(value);
    });
    child.once('exit', (code) => reject(new Error(`a process of simulated agents ended with ${code}`)));
  });
const isReady = (value: unknown): value is 'ready' => value === 'ready';
const isResult = (value: unknown): value is SimulatedAgentsResult => typeof value === 'object' && value !== null;

const quantile = (values: readonly number[], q: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
};

async function run(flags: Readonly<Record<string, number>>): Promise<BenchResult> {
  const { hosts: hostCount = 1, connections = 1, processes = 1 } = flags;
  await using stack = new AsyncDisposableStack();
  const servers = stack.use(await BenchServers.start('deployer'));
  const key = generateKeyPair('bench-1');
  const operatorsFile = join(servers.dir, 'operators.json');
  const tokenSha256 = createHash('sha256').update(operatorToken).digest('hex');
  writeFileSync(operatorsFile, JSON.stringify([{ name: 'bench', role: 'admin', tokenSha256 }]));

  const port = 20_000 + Math.floor(Math.random() * 10_000);
  const execArgv =
    process.env.NIXFLEET_BENCH_PROFILE === undefined
      ? []
      : ['--cpu-prof', `--cpu-prof-dir=${process.env.NIXFLEET_BENCH_PROFILE}`];
  const deployer = fork(deployerDir, [], {
    execArgv,
    env: {
      ...process.env,
      ...servers.environment('deployer'),
      NIXFLEET_HTTP_PORT: String(port),
      NIXFLEET_GRPC_PORT: '0',
      NIXFLEET_RELEASE_KEYS: formatPublicKey(key.publicKey),
      NIXFLEET_CACHE_URLS: 'http://127.0.0.1:9',
      NIXFLEET_BOOTSTRAP_OPERATORS_FILE: operatorsFile,
    },
  });
  stack.defer(async () => {
    const exited = new Promise((resolve) => deployer.once('exit', resolve));
    deployer.kill('SIGTERM');
    await exited;
  });
  const ask = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers: { authorization: `Bearer ${operatorToken}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  };
  await until(async () => (await ask<{ releases: unknown[] }>('GET', '/v1/releases')).releases.length === 0);

  const hosts = makeHosts(hostCount);
  const revision = hash(1, 64);
  await announce(servers, hosts, revision);
  const count = (sql: string): Promise<number> =>
    withClient(servers.adminUrl, async (client) => Number((await client.query<{ n: string }>(sql)).rows[0]?.n));
  const settled = async (table: string): Promise<boolean> =>
    (await count(`SELECT count(*) AS n FROM deployer.${table}`)) === hostCount;
  while (!(await settled('built_closure')) || !(await settled('host'))) await new Promise((r) => setTimeout(r, 250));
  const nowMs = Date.now();
  const signature = signRelease(
    { fleet, hosts },
    { sequence: 1, issuedAt: new Date(nowMs).toISOString(), expiresAt: new Date(nowMs + 86_400_000).toISOString() },
    key,
  );
  const { release } = await ask<{ release: string }>('POST', '/v1/releases', { fleet, revision, hosts, signature });

  const agents = hosts.map(({ host }, i) => ({ host, site: siteOf(i) }));
  const children = Array.from({ length: processes }, (_, i) => {
    const file = join(servers.dir, `agents-${i}.json`);
    const config: SimulatedAgentsConfig = {
      natsUrl: servers.nats.url,
      credsFile: servers.credsFile,
      fleet,
      releaseKey: formatPublicKey(key.publicKey),
      connections: Math.ceil(connections / processes),
      agents: agents.filter((_agent, n) => n % processes === i),
    };
    writeFileSync(file, JSON.stringify(config));
    return fork(agentsScript, [file], { execArgv });
  });
  stack.defer(() => {
    for (const child of children) child.kill('SIGKILL');
  });
  const results = Promise.all(children.map((child) => message(child, isResult)));
  let failure: unknown;
  results.catch((error: unknown) => {
    failure = error;
  });
  await Promise.all(children.map((child) => message(child, isReady)));

  const startedMs = Date.now();
  const { rollout } = await ask<{ rollout: string }>('POST', '/v1/rollouts', { release, channel });
  const acceptedMs = Date.now();
  const converged = `SELECT count(*) AS n FROM deployer.rollout_target WHERE rollout = '${rollout}' AND state = 'converged'`;
  let convergedCount = 0;
  let peakPostgresMiB = 0;
  while (convergedCount < hostCount) {
    convergedCount = await count(converged);
    peakPostgresMiB = Math.max(peakPostgresMiB, treeAnonMiB(servers.postgres.child.pid));
    if (failure !== undefined) throw failure;
    if (Date.now() - startedMs > 300_000) throw new Error(`only ${convergedCount} of ${hostCount} after ten minutes`);
    if (convergedCount < hostCount) await new Promise((r) => setTimeout(r, 200));
  }
  const convergedMs = Date.now() - startedMs;
  const reports = await results;
  await until(async () => (await ask<{ state: string }>('GET', `/v1/rollouts/${rollout}`)).state === 'completed');
  const completedMs = Date.now() - startedMs;
  const delivered = reports.flatMap((r) => r.deliveredMs).map((ms) => ms - startedMs);
  const reportCount = reports.reduce((sum, r) => sum + r.reports, 0);
  const verified = reports.reduce((sum, r) => sum + r.verified, 0);
  const attempts = await count(
    `SELECT count(*) AS n FROM deployer.attempt WHERE rollout = '${rollout}' AND step = 'confirmed'`,
  );
  if (verified !== hostCount || attempts !== hostCount)
    throw new Error(`${verified} statements verified and ${attempts} attempts confirmed of ${hostCount}`);
  const settings = await withClient(servers.adminUrl, async (client) => {
    const { rows } = await client.query<{ name: string; setting: string }>(
      "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'server_version')",
    );
    return Object.fromEntries(rows.map((row) => [row.name, row.setting]));
  });
  return {
    params: {
      hosts: hostCount,
      agentProcesses: processes,
      natsConnections: connections,
      reportsPerAgent: 5,
      statementsVerified: verified,
      convergedRows: convergedCount,
      jetstreamStorage: 'file',
      postgres: settings,
      node: process.version,
      cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
    },
    results: {
      convergedMs,
      completedMs,
      acceptedMs: acceptedMs - startedMs,
      deliveryP50Ms: quantile(delivered, 0.5),
      deliveryP99Ms: quantile(delivered, 0.99),
      reportRetries: reports.reduce((sum, r) => sum + r.retries, 0),
      reportsPerSecond: Math.round((reportCount / convergedMs) * 1000),
      deployerPeakRssMiB: peakRssMiB(deployer.pid ?? 0),
      natsPeakRssMiB: peakRssMiB(servers.nats.child.pid),
      postgresPeakAnonMiB: peakPostgresMiB,
      agentsPeakRssMiB: reports.reduce((sum, r) => sum + r.peakRssMiB, 0),
    },
    peers: {},
  };
}

/** From the start of an all-at-once rollout until every simulated agent has converged, by SQL. */
export const fanout: Bench = {
  name: 'fanout',
  description: 'an all-at-once rollout to simulated agents, from its start until every one has converged',
  flags: { hosts: 10_000, connections: 20, processes: 1 },
  run,
};
