import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { issueCredentials, withClient } from '@nixfleet/infra';
import { until } from '@nixfleet/infra/testing';
import { FleetError, ReleaseDetail, RevisionDetail, RolloutDetail, type SubmitRevision } from '@nixfleet/schema';
import { createRelease } from '../../apps/cli/src/commands/release.ts';
import type { Context } from '../../apps/cli/src/context.ts';
import { loadFleet } from '../../apps/cli/src/fleet-directory.ts';
import { type AgentHost } from '../../apps/cli/src/up/agents.ts';
import { type Backend, startBackend } from '../../apps/cli/src/up/backend.ts';
import { localContext } from '../../apps/cli/src/up/local-context.ts';
import { Reporter } from '../../apps/cli/src/up/reporter.ts';
import { StateDir } from '../../apps/cli/src/up/state-dir.ts';
import { Supervisor } from '../../apps/cli/src/up/supervisor.ts';
import { type FaultHost, faultHosts, writeFaultFleet } from './fault-fleet.ts';

/** Everything that can be killed. */
export const serviceParts = ['deployer', 'config-resolver', 'cache-indexer', 'telemetry'] as const;
export const infrastructureParts = ['nats-server', 'Postgres'] as const;
export const agentPart = (host: string): string => `agent-${host}`;

const restartDelayMs = 200;
const channel = 'all';

/** The first command of every activation: notes that one began, and lasts as long as a file of the root says. */
const mkdirShim = `#!/bin/sh
case "$*" in
*" \${NIXFLEET_ROOT:-no root}/run")
  echo "$NIXFLEET_TOPLEVEL" >>"$NIXFLEET_ROOT/activations"
  while [ -e "$NIXFLEET_ROOT/hold-activating" ]; do sleep 0.05; done
  ;;
esac
exec /bin/mkdir "$@"
`;

export interface FaultBackendOptions {
  readonly hosts?: readonly FaultHost[];
  /** Hosts whose agent the test starts itself. */
  readonly withoutAgent?: readonly string[];
  /** Called when the directories exist and nothing runs yet. */
  readonly prepare?: (state: StateDir) => Promise<void>;
}

/** Asks again for as long as who should answer is away; what it answers otherwise is thrown. */
export async function asked<T>(question: () => Promise<T>): Promise<T> {
  let answer: T | undefined;
  let problem: unknown;
  await until(async () => {
    try {
      answer = await question();
      problem = undefined;
      return true;
    } catch (error) {
      // `fetch failed` is a TypeError.
      const passing = error instanceof FleetError && (error.code === 'unavailable' || error.code === 'timed_out');
      if (passing || error instanceof TypeError) throw error;
      problem = error;
      return true;
    }
  });
  if (problem !== undefined) throw problem;
  return answer as T;
}

/** The whole backend with agents, each its own process, that can be killed one by one; what is killed is started again. */
export class FaultBackend implements AsyncDisposable {
  readonly state: StateDir;
  readonly hosts: readonly FaultHost[];
  readonly backend: Backend;
  readonly supervisor: Supervisor;
  /** What the supervisor said, for a failure's message. */
  readonly said: string[];
  readonly #context: Context;
  readonly #stack: AsyncDisposableStack;
  /** The fleet as it was submitted last. */
  readonly fleetDir: string;

  private constructor(fields: {
    state: StateDir;
    hosts: readonly FaultHost[];
    backend: Backend;
    supervisor: Supervisor;
    said: string[];
    stack: AsyncDisposableStack;
  }) {
    this.state = fields.state;
    this.hosts = fields.hosts;
    this.backend = fields.backend;
    this.supervisor = fields.supervisor;
    this.said = fields.said;
    this.#stack = fields.stack;
    this.fleetDir = join(this.state.path, 'fleet');
    this.#context = localContext(this.state, this.backend, { json: true, print: () => undefined });
  }

  static async start(options: FaultBackendOptions = {}): Promise<FaultBackend> {
    const hosts = options.hosts ?? faultHosts;
    await using starting = new AsyncDisposableStack();
    const dir = await mkdtemp(join(tmpdir(), 'nixfleet-faults-'));
    starting.defer(() => rm(dir, { recursive: true, force: true, maxRetries: 3 }));
    const state = await StateDir.open(dir);
    await options.prepare?.(state);
    starting.use(await shadowMkdir(dir));
    const said: string[] = [];
    const reporter = new Reporter((text) => said.push(text));
    const supervisor = starting.use(new Supervisor(reporter, () => restartDelayMs));
    killAtExit(supervisor);
    const agents = hosts
      .filter(({ host }) => options.withoutAgent?.includes(host) !== true)
      .map(({ host, site }): AgentHost => ({ host, site, channel }));
    const backend = await startBackend(supervisor, reporter, { state, ports: 'auto', fleet: 'faults', hosts: agents });
    return new FaultBackend({ state, hosts, backend, supervisor, said, stack: starting.move() });
  }

  get context(): Context {
    return this.#context;
  }

  hostFile(host: string, file: string): string {
    return join(this.state.hostRoot(host), file);
  }

  /** SIGKILL; the supervisor starts it again. */
  async kill(name: string): Promise<void> {
    const child = this.supervisor.childOf(name);
    if (child === undefined) throw new Error(`${name} does not run: ${this.said.join('')}`);
    await child.kill();
  }

  async signal(name: string, signal: NodeJS.Signals): Promise<void> {
    const child = this.supervisor.childOf(name);
    if (child !== undefined) process.kill(child.pid, signal);
  }

  /** Waits until it runs and answers (services, NATS and Postgres: the supervisor looks). */
  async isBack(name: string): Promise<void> {
    await until(() => this.supervisor.childOf(name) !== undefined);
  }

  /** Waits until every part runs and every service says that it is ready. */
  async settled(): Promise<void> {
    const agents = this.hosts.map(({ host }) => agentPart(host));
    for (const name of [...infrastructureParts, ...serviceParts, ...agents]) await this.isBack(name);
    for (const url of Object.values(this.backend.urls)) await until(async () => (await fetch(`${url}/readyz`)).ok);
  }

  /** Builds and signs a release of the fleet with this text in it. */
  async release(text: string, filler?: string): Promise<ReleaseDetail> {
    await this.submit(text, filler);
    return createRelease(this.#context, {
      fleet: this.fleetDir,
      key: this.state.releaseKeyFile,
      expires: '1d',
      sign: true,
      timeout: '1m',
    });
  }

  /** Submits the fleet with this text in it, however often it takes; does not wait for its closures. */
  async submit(text: string, filler?: string): Promise<RevisionDetail> {
    await writeFaultFleet(this.fleetDir, this.hosts, text, filler);
    const { files } = await loadFleet(this.fleetDir);
    const body: SubmitRevision = { files: [...files] };
    return asked(() => this.#context.resolver.ask(RevisionDetail, '/v1/revisions', { method: 'POST', body }));
  }

  async revision(id: string): Promise<RevisionDetail> {
    return asked(() => this.#context.resolver.ask(RevisionDetail, `/v1/revisions/${id}`));
  }

  async startRollout({ release }: ReleaseDetail): Promise<string> {
    const body = { release, channel };
    const { rollout } = await this.#context.deployer.ask(RolloutDetail, '/v1/rollouts', { method: 'POST', body });
    return rollout;
  }

  async cancel(rollout: string): Promise<void> {
    await this.#context.deployer.ask(RolloutDetail, `/v1/rollouts/${rollout}/cancel`, { method: 'POST' });
  }

  async rollout(id: string): Promise<RolloutDetail> {
    return asked(() => this.#context.deployer.ask(RolloutDetail, `/v1/rollouts/${id}`));
  }

  /** Waits until the rollout has ended, however it ends. */
  async ended(id: string): Promise<RolloutDetail> {
    for (;;) {
      const rollout = await this.rollout(id);
      if (rollout.state !== 'running') return rollout;
      await sleep(100);
    }
  }

  /** Rows of a query as the superuser. */
  async query<Row>(sql: string): Promise<Row[]> {
    return withClient(await this.databaseUrl(), async (client) => (await client.query(sql)).rows as Row[]);
  }

  async databaseUrl(): Promise<string> {
    const password = (await readFile(`${this.state.postgresDir}.password`, 'utf8')).trim();
    return `postgres://nixfleet:${encodeURIComponent(password)}@127.0.0.1:${this.backend.ports.postgres}/nixfleet`;
  }

  /** A connection that may read every stream. */
  async connectNats(): Promise<NatsConnection> {
    const permissions = { publish: ['>'], subscribe: ['>'] };
    const creds = await issueCredentials(this.backend.secrets.natsIdentity, 'fault tests', permissions);
    return connect({ servers: this.backend.natsUrl, authenticator: credsAuthenticator(Buffer.from(creds)) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** What it started must not outlive a test process that is interrupted. */
function killAtExit(supervisor: Supervisor): void {
  process.once('exit', () => supervisor.killAll());
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
}

/** Puts our `mkdir` before the system's on the PATH of what this process starts. */
async function shadowMkdir(dir: string): Promise<AsyncDisposable> {
  const bin = join(dir, `bin-${randomBytes(4).toString('hex')}`);
  await mkdir(bin);
  await writeFile(join(bin, 'mkdir'), mkdirShim);
  await chmod(join(bin, 'mkdir'), 0o755);
  const before = process.env.PATH;
  process.env.PATH = `${bin}:${before ?? ''}`;
  return {
    [Symbol.asyncDispose]: async () => {
      process.env.PATH = before;
    },
  };
}
