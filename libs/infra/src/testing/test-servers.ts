import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AckPolicy, type JsMsg, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import {
  type Envelope,
  type EventContract,
  eventFilter,
  type OperatorRole,
  operatorBucket,
  type ServiceName,
  serviceNames,
  streamOf,
} from '@nixfleet/schema';
import type { Static, TSchema } from 'typebox';
import { createNatsIdentity, issueCredentials, type NatsIdentity, servicePermissions } from '../nats-identity.ts';
import { startTestNats, type TestNats } from './test-nats.ts';
import { type TestDatabase, type TestDatabaseSpec, TestPostgres } from './test-postgres.ts';
import { until } from './until.ts';

/** Everything of the fleet and what agents publish: the tests' own user stands for any of them. */
const testPermissions = { publish: ['>'], subscribe: ['>'] };

/** A real NATS with credentials for every service, and real Postgres databases: the world of one test file. */
export class TestServers implements AsyncDisposable {
  readonly dir: string;
  readonly identity: NatsIdentity;
  readonly postgres: TestPostgres;
  readonly #resources: AsyncDisposableStack;
  readonly #nats: TestNats;
  #connection: Promise<NatsConnection> | undefined;

  private constructor(
    dir: string,
    identity: NatsIdentity,
    postgres: TestPostgres,
    nats: TestNats,
    resources: AsyncDisposableStack,
  ) {
    this.dir = dir;
    this.identity = identity;
    this.postgres = postgres;
    this.#nats = nats;
    this.#resources = resources;
  }

  static async start(): Promise<TestServers> {
    await using starting = new AsyncDisposableStack();
    const dir = await mkdtemp(join(tmpdir(), 'nixfleet-test-'));
    starting.defer(() => rm(dir, { recursive: true, force: true }));
    const identity = await createNatsIdentity('acme');
    // Not on the stack: it ends after the connection of the tests, which is made later.
    const nats = await startTestNats(dir, identity);
    try {
      const postgres = starting.use(await TestPostgres.open());
      for (const service of serviceNames)
        await writeFile(
          join(dir, `${service}.creds`),
          await issueCredentials(identity, service, servicePermissions(service)),
          { mode: 0o600 },
        );
      return new TestServers(dir, identity, postgres, nats, starting.move());
    } catch (error) {
      await nats[Symbol.asyncDispose]();
      throw error;
    }
  }

  get natsUrl(): string {
    return this.#nats.url;
  }

  /** Credentials file of a service. */
  credsFile(service: ServiceName): string {
    return join(this.dir, `${service}.creds`);
  }

  /** What every service's configuration needs; a port is chosen, and nothing but fatal errors is logged. */
  environment(service: ServiceName, database: Pick<TestDatabase, 'url'>): Record<string, string> {
    return {
      NIXFLEET_POSTGRES_URL: database.url,
      NIXFLEET_NATS_URL: this.natsUrl,
      NIXFLEET_NATS_CREDS_FILE: this.credsFile(service),
      NIXFLEET_HTTP_PORT: '0',
      NIXFLEET_LOG_LEVEL: process.env.NIXFLEET_TEST_LOG_LEVEL ?? 'fatal',
    };
  }

  createDatabase(spec: TestDatabaseSpec): Promise<TestDatabase> {
    return this.postgres.createDatabase(spec);
  }

  /** A connection that may do everything; made once. */
  async connection(): Promise<NatsConnection> {
    this.#connection ??= issueCredentials(this.identity, 'test', testPermissions).then((creds) =>
      connect({
        servers: this.natsUrl,
        authenticator: credsAuthenticator(Buffer.from(creds)),
        maxReconnectAttempts: -1,
        reconnectTimeWait: 100,
      }),
    );
    return this.#connection;
  }

  /** NATS dies as by a fault; what it has stored stays. */
  async killNats(): Promise<void> {
    await this.#nats.kill();
  }

  /** NATS comes back on the same port with what it had stored. */
  async reviveNats(): Promise<void> {
    await this.#nats.revive();
    // The tests' own connection as well: what a test publishes next must not be lost on the old one.
    const nc = await this.#connection;
    if (nc !== undefined) await until(async () => (await nc.rtt()) >= 0);
  }

  /** Makes an operator known to every service, as the deployer does; returns its Authorization header. */
  async addOperator(role: OperatorRole): Promise<{ authorization: string }> {
    const token = randomBytes(24).toString('hex');
    const bucket = await new Kvm(jetstream(await this.connection())).create(operatorBucket, { history: 1 });
    const key = createHash('sha256').update(token, 'utf8').digest('hex');
    await bucket.put(key, JSON.stringify({ name: role, role }));
    return { authorization: `Bearer ${token}` };
  }

  /** Publishes an event as its service would; `id` is the envelope's and the message's. */
  async publishEvent<Data extends TSchema>(
    contract: EventContract<Data>,
    data: Static<Data>,
    id: string = crypto.randomUUID(),
  ): Promise<void> {
    const envelope = {
      id,
      type: contract.type,
      schemaVersion: contract.version,
      time: new Date().toISOString(),
      traceId: '0'.repeat(32),
      source: contract.service,
      data,
    };
    const subject = [eventFilter(contract).slice(0, -2), ...contract.key(data)].join('.');
    await jetstream(await this.connection()).publish(subject, JSON.stringify(envelope), { msgID: id });
  }

  /** Every message of a stream that matches, oldest first. */
  async readStream(stream: string, filter: string): Promise<JsMsg[]> {
    const manager = await jetstreamManager(await this.connection());
    const { name, num_pending: count } = await manager.consumers.add(stream, {
      filter_subject: filter,
      ack_policy: AckPolicy.None,
      inactive_threshold: 60_000_000_000,
    });
    const found: JsMsg[] = [];
    if (count === 0) return found;
    const consumer = await manager.jetstream().consumers.get(stream, name);
    const messages = await consumer.fetch({ max_messages: count, expires: 5000 });
    for await (const message of messages) found.push(message);
    return found;
  }

  /** The envelopes of every event of a kind, oldest first. */
  async eventsOf<Data extends TSchema>(contract: EventContract<Data>): Promise<Envelope<Static<Data>>[]> {
    const messages = await this.readStream(streamOf(contract), eventFilter(contract));
    return messages.map((message) => message.json<Envelope<Static<Data>>>());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection?.then((nc) => nc.close()).catch(() => undefined);
    await this.#nats[Symbol.asyncDispose]();
    await this.#resources.disposeAsync();
  }
}
