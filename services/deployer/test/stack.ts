import { randomUUID } from 'node:crypto';
import { jetstream } from '@nats-io/jetstream';
import { type TestServers, until } from '@nixfleet/infra/testing';
import { generateKeyPair, type SecretKey } from '@nixfleet/nix';
import {
  type AgentReport,
  closureBuilt,
  hostResolved,
  type Intent,
  intentStream,
  intentSubject,
  type OperatorRole,
  type ReleaseDetail,
  type ReleaseHost,
  type ReleaseSignature,
  type RolloutDetail,
  type RolloutPolicy,
  reportSubject,
  revisionResolved,
} from '@nixfleet/schema';
import { createLogger, Database, Health, Secret } from '@nixfleet/service';
import { signRelease } from '@nixfleet/trust';
import { readConfig } from '../src/config.ts';
import { migrations, startDeployer } from '../src/service.ts';

export const fleet = 'acme';
export const site = 'paris';

export interface Answer<Body> {
  readonly status: number;
  readonly body: Body & { readonly error?: { readonly code: string; readonly message: string } };
}

export const policy: RolloutPolicy = {
  waves: [{ size: 1 }, {}],
  soakSeconds: 0,
  healthTimeoutSeconds: 300,
  confirmDeadlineSeconds: 120,
  failureThreshold: 0,
  onFailure: 'halt',
};

let revisions = 0;
let sequences = 0;
/** One of a number, as long as the digests of the contracts are. */
const digest = (n: number): string => n.toString(16).padStart(64, '0');

/** A running deployer with its own database, and agents that are played by the test. */
export class TestDeployer implements AsyncDisposable {
  readonly servers: TestServers;
  readonly url: string;
  readonly grpcAddress: string;
  readonly key: SecretKey;
  readonly #headers: Map<OperatorRole, { authorization: string }>;
  readonly #running: AsyncDisposableStack;
  readonly #reported = new Map<string, number>();

  private constructor(
    servers: TestServers,
    { url, grpcAddress }: { readonly url: string; readonly grpcAddress: string },
    key: SecretKey,
    headers: Map<OperatorRole, { authorization: string }>,
    running: AsyncDisposableStack,
  ) {
    this.servers = servers;
    this.url = url;
    this.grpcAddress = grpcAddress;
    this.key = key;
    this.#headers = headers;
    this.#running = running;
  }

  static async start(servers: TestServers): Promise<TestDeployer> {
    await using starting = new AsyncDisposableStack();
    const migrate = async (url: string): Promise<void> => {
      const options = { url: new Secret(url), schema: 'deployer', migrations, health: new Health() };
      await using db = new Database({ ...options, log: createLogger('test', 'fatal') });
      await db.ready;
    };
    const database = starting.use(await servers.createDatabase({ service: 'deployer', migrations, migrate }));
    const key = generateKeyPair('acme-release-1');
    const service = starting.use(
      await startDeployer({
        ...readConfig({
          ...servers.environment('deployer', database),
          NIXFLEET_RELEASE_KEYS: 'none:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=',
          NIXFLEET_CACHE_URLS: 'http://127.0.0.1:1',
          NIXFLEET_GRPC_PORT: '0',
        }),
        releaseKeys: [key.publicKey],
      }),
    );
    const headers = new Map<OperatorRole, { authorization: string }>();
    for (const role of ['readonly', 'deploy', 'admin'] as const) headers.set(role, await servers.addOperator(role));
    const deployer = new TestDeployer(servers, service, key, headers, starting.move());
    await until(() => service.health.ready);
    await until(async () => (await deployer.ask('admin', 'GET', '/v1/audit')).status === 200);
    return deployer;
  }

  /** The Authorization header of an operator with that role. */
  headers(role: OperatorRole): { authorization: string } {
    return this.#headers.get(role) as { authorization: string };
  }

  async ask<Body = object>(
    role: OperatorRole | 'nobody',
    method: string,
    path: string,
    body?: unknown,
  ): Promise<Answer<Body>> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        ...(role === 'nobody' ? {} : this.#headers.get(role)),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Answer<Body>['body'] };
  }

  /** Publishes a resolved revision as the resolver does; the hosts follow the channel of the revision's own name. */
  async resolve(
    hosts: readonly string[],
    more: Partial<RolloutPolicy> = {},
  ): Promise<{ revision: string; channel: string; hosts: ReleaseHost[] }> {
    revisions += 1;
    const revision = digest(revisions);
    const channel = `channel-${revisions}`;
    const channels = { [channel]: { ...policy, ...more } };
    await this.servers.publishEvent(revisionResolved, {
      revision,
      fleet,
      hostCount: hosts.length,
      channels,
      sites: [site],
    });
    const targets = hosts.map((host, i) => ({
      host,
      toplevel: `/nix/store/${String(revisions * 1000 + i).padStart(32, '0')}-nixos-system-${host}`,
      closureDigest: digest(revisions * 1000 + i),
    }));
    for (const { host, toplevel } of targets)
      await this.servers.publishEvent(hostResolved, {
        revision,
        fleet,
        host,
        site,
        channel,
        platform: 'x86_64-linux',
        tags: [],
        configDigest: revision,
        toplevel,
        jobs: [],
      });
    await until(async () => {
      const { body } = await this.ask<{ channels: { channel: string; hostCount: number }[] }>(
        'readonly',
        'GET',
        '/v1/channels',
      );
      return body.channels.some((each) => each.channel === channel && each.hostCount === hosts.length);
    });
    return { revision, channel, hosts: targets };
  }

  async build(revision: string, hosts: readonly ReleaseHost[]): Promise<void> {
    for (const target of hosts)
      await this.servers.publishEvent(closureBuilt, { revision, fleet, ...target, pathCount: 1, closureSizeBytes: 1 });
  }

  sign(hosts: readonly ReleaseHost[], key = this.key): ReleaseSignature {
    sequences += 1;
    const now = Date.now();
    const terms = {
      sequence: sequences,
      issuedAt: new Date(now - 1000).toISOString(),
      expiresAt: new Date(now + 3_600_000).toISOString(),
    };
    return signRelease({ fleet, hosts }, terms, key);
  }

  /** A signed release of hosts that are all built, and the channel that they follow. */
  async release(
    hosts: readonly string[],
    more: Partial<RolloutPolicy> = {},
  ): Promise<{ release: string; channel: string }> {
    const resolved = await this.resolve(hosts, more);
    await this.build(resolved.revision, resolved.hosts);
    const body = { fleet, revision: resolved.revision, hosts: resolved.hosts, signature: this.sign(resolved.hosts) };
    let answer: Answer<ReleaseDetail> | undefined;
    await until(async () => {
      answer = await this.ask<ReleaseDetail>('deploy', 'POST', '/v1/releases', body);
      return answer.status === 201;
    });
    return { release: answer?.body.release ?? '', channel: resolved.channel };
  }

  async start(hosts: readonly string[], more: Partial<RolloutPolicy> = {}): Promise<string> {
    const { status, body } = await this.ask<RolloutDetail>(
      'deploy',
      'POST',
      '/v1/rollouts',
      await this.release(hosts, more),
    );
    if (status !== 201) throw new Error(JSON.stringify(body));
    return body.rollout;
  }

  async rollout(id: string): Promise<RolloutDetail> {
    return (await this.ask<RolloutDetail>('readonly', 'GET', `/v1/rollouts/${id}`)).body;
  }

  /** States of the targets by host. */
  async states(id: string): Promise<Record<string, string>> {
    return Object.fromEntries((await this.rollout(id)).targets.map((target) => [target.host, target.state]));
  }

  /** The last intent of a host, as its agent gets it. */
  async intent(host: string): Promise<Intent | undefined> {
    const messages = await this.servers.readStream(intentStream.name, intentSubject(site, host));
    return messages.at(-1)?.json<Intent>();
  }

  /** Waits for an intent of the rollout with that verb. */
  async intentOf(rollout: string, host: string, verb: Intent['verb'] = 'be'): Promise<Intent> {
    let found: Intent | undefined;
    await until(async () => {
      found = await this.intent(host);
      return found?.rollout === rollout && found.verb === verb;
    });
    return found as Intent;
  }

  /** Sends a report of an attempt as the agent does. */
  async report(intent: Intent, step: AgentReport['step'], more: Partial<AgentReport> = {}): Promise<void> {
    const sequence = (this.#reported.get(intent.attempt) ?? 0) + 1;
    this.#reported.set(intent.attempt, sequence);
    const report: AgentReport = {
      version: 1,
      host: intent.host,
      site: intent.site,
      attempt: intent.attempt,
      sequence,
      step,
      time: new Date().toISOString(),
      bootId: randomUUID(),
      agentVersion: '0.1.0',
      ...more,
    };
    await jetstream(await this.servers.connection()).publish(reportSubject(site, intent.host), JSON.stringify(report));
  }

  /** Plays an agent that does as it is told. */
  async converge(rollout: string, host: string): Promise<void> {
    const intent = await this.intentOf(rollout, host);
    const toplevel = intent.verb === 'be' ? { toplevel: intent.signed.statement.toplevel } : {};
    await this.report(intent, 'accepted');
    await this.report(intent, 'confirmed', { ...toplevel, generation: 2 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.disposeAsync();
  }
}
