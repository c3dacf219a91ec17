import { type TestDatabase, type TestServers, until } from '@nixfleet/infra/testing';
import { FleetError, hostResolved } from '@nixfleet/schema';
import { type Kysely, sql } from 'kysely';
import {
  Bus,
  commonSettings,
  createApp,
  createLogger,
  createMetrics,
  Database,
  DeadLetters,
  defineSubscription,
  Health,
  type HttpApp,
  listen,
  Operators,
  readSettings,
  Secret,
  type ServiceMetrics,
  startOutboxRelay,
  startSubscription,
} from '../src/index.ts';

/** A small service made of nothing but the chassis. It runs with telemetry's name and credentials. */
export interface Chassis extends AsyncDisposable {
  readonly url: string;
  readonly db: Database<ChassisTables>;
  readonly health: Health;
  readonly metrics: ServiceMetrics;
}

interface ChassisTables {
  effect: { id: string };
}

export const consumer = 'telemetry-chassis-test';
const migrations = {
  '0001-effect': {
    up: async (db: Kysely<unknown>): Promise<void> => {
      await sql`CREATE TABLE effect (id uuid NOT NULL)`.execute(db);
    },
  },
};

export const createChassisDatabase = (servers: TestServers): Promise<TestDatabase> =>
  servers.createDatabase({
    service: 'telemetry',
    migrations,
    migrate: async (url) => {
      const log = createLogger('test', 'fatal');
      await using db = new Database({
        url: new Secret(url),
        schema: 'telemetry',
        migrations,
        log,
        health: new Health(),
      });
      await db.ready;
    },
  });

/** A host whose events are refused while it is set. */
export const unwelcome: { host?: string } = {};

/** The reaction that is watched: one row for each event it has handled. */
const onHostResolved = defineSubscription<ChassisTables, typeof hostResolved>({
  event: hostResolved,
  consumer,
  handle: async (tx, { id, data }) => {
    if (data.host === unwelcome.host) throw new FleetError('invalid_input', 'this host is not welcome');
    await tx.insertInto('effect').values({ id }).execute();
  },
});

export async function startChassis(
  env: NodeJS.ProcessEnv,
  addRoutes: (app: HttpApp) => void = () => undefined,
): Promise<Chassis> {
  const config = readSettings(commonSettings, env);
  await using stack = new AsyncDisposableStack();
  const log = createLogger('chassis', config.logLevel);
  const health = new Health();
  const metrics = createMetrics('chassis');
  const db = stack.use(
    new Database<ChassisTables>({ url: config.postgresUrl, schema: 'telemetry', migrations, log, health }),
  );
  const bus = stack.use(
    new Bus({ url: config.natsUrl, credsFile: config.natsCredsFile, name: 'chassis', log, health }),
  );
  const operators = stack.use(new Operators(bus, log));
  stack.use(startOutboxRelay({ db, bus, log, metrics }));
  const deadLetters = new DeadLetters('telemetry', bus);
  stack.use(startSubscription({ service: 'telemetry', bus, db, log, metrics, deadLetters }, onHostResolved));
  const app = await createApp({
    name: 'chassis',
    description: 'Test of the chassis.',
    log,
    health,
    metrics,
    operators,
    deadLetters,
  });
  addRoutes(app);
  const server = stack.use(await listen(app, config.httpHost, config.httpPort));
  const running = stack.move();
  return { url: server.url, db, health, metrics, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

export async function startReadyChassis(servers: TestServers, database: TestDatabase): Promise<Chassis> {
  const chassis = await startChassis(servers.environment('telemetry', database));
  await until(() => chassis.health.ready);
  return chassis;
}

/** Ids of the events whose effect is there, one entry for each time it happened. */
export const effectsOf = (chassis: Chassis): Promise<string[]> =>
  chassis.db.read(async (db) => (await db.selectFrom('effect').select('id').execute()).map((row) => row.id));

/** How many messages the watched reaction has settled with an outcome. */
export async function settled(chassis: Chassis, outcome: string): Promise<number> {
  const { values } = await chassis.metrics.messages.get();
  return values.find(({ labels }) => labels.outcome === outcome && labels.consumer === consumer)?.value ?? 0;
}

export const resolvedHost = (host: string) => ({
  revision: '0'.repeat(64),
  fleet: 'acme',
  host,
  site: 'paris',
  platform: 'x86_64-linux' as const,
  tags: [],
  configDigest: '0'.repeat(64),
  toplevel: `/nix/store/${'0'.repeat(32)}-nixos-system-${host}`,
  jobs: [],
});
