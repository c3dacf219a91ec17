import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstream } from '@nats-io/jetstream';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import {
  createNatsIdentity,
  findNatsServer,
  issueCredentials,
  Nats,
  Postgres,
  servicePermissions,
} from '@nixfleet/infra';
import { type EventContract, eventSubject, type ServiceName } from '@nixfleet/schema';
import type { Static, TSchema } from 'typebox';

const password = 'bench';
const databaseName = 'nixfleet';

/** A real Postgres and a real NATS with the settings of production, in a directory that goes at the end. */
export class BenchServers implements AsyncDisposable {
  readonly dir: string;
  readonly nats: Nats;
  readonly postgres: Postgres;
  /** Credentials that may do everything: of the simulated agents, and of who stands for other services. */
  readonly credsFile: string;
  readonly connection: NatsConnection;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    dir: string,
    nats: Nats,
    postgres: Postgres,
    credsFile: string,
    connection: NatsConnection,
    stack: AsyncDisposableStack,
  ) {
    this.dir = dir;
    this.nats = nats;
    this.postgres = postgres;
    this.credsFile = credsFile;
    this.connection = connection;
    this.#stack = stack;
  }

  static async start(service: ServiceName): Promise<BenchServers> {
    await using stack = new AsyncDisposableStack();
    const dir = await mkdtemp(join(tmpdir(), 'nixfleet-bench-'));
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    const identity = await createNatsIdentity('bench');
    const binary = await findNatsServer(join(dir, 'tools'));
    const nats = stack.use(
      await Nats.start({ binary, dir: join(dir, 'nats'), identity, logFile: join(dir, 'nats.log') }),
    );
    const postgres = stack.use(
      await Postgres.start({ dataDir: join(dir, 'postgres/data'), logFile: join(dir, 'postgres.log') }),
    );
    await postgres.provision(databaseName, [{ role: service, password, schema: service }]);
    const credsFile = join(dir, 'everything.creds');
    const everything = { publish: ['>'], subscribe: ['>'] };
    await writeFile(credsFile, await issueCredentials(identity, 'bench', everything), { mode: 0o600 });
    const own = await issueCredentials(identity, service, servicePermissions(service));
    await writeFile(join(dir, `${service}.creds`), own, { mode: 0o600 });
    const authenticator = credsAuthenticator(Buffer.from(await issueCredentials(identity, 'bench', everything)));
    const connection = await connect({ servers: nats.url, authenticator });
    stack.defer(() => connection.close());
    return new BenchServers(dir, nats, postgres, credsFile, connection, stack.move());
  }

  /** Connection string of the superuser, to count rows. */
  get adminUrl(): string {
    return this.postgres.url(databaseName);
  }

  environment(service: ServiceName): Record<string, string> {
    return {
      NIXFLEET_POSTGRES_URL: this.postgres.url(databaseName, { name: service, password }),
      NIXFLEET_NATS_URL: this.nats.url,
      NIXFLEET_NATS_CREDS_FILE: join(this.dir, `${service}.creds`),
      NIXFLEET_LOG_LEVEL: 'warn',
    };
  }

  /** Publishes an event as its service would. */
  async publishEvent<Data extends TSchema>(contract: EventContract<Data>, data: Static<Data>): Promise<void> {
    const id = crypto.randomUUID();
    const { type, version: schemaVersion, service: source } = contract;
    const envelope = { id, type, schemaVersion, time: new Date().toISOString(), traceId: '0'.repeat(32), source, data };
    await jetstream(this.connection, { timeout: 30_000 }).publish(
      eventSubject(contract, data),
      JSON.stringify(envelope),
      {
        msgID: id,
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
