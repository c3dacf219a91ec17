import { randomBytes } from 'node:crypto';
import { GenericContainer, getContainerRuntimeClient, Wait } from 'testcontainers';
import { formatNatsConfig } from '../nats-config.ts';
import type { NatsIdentity } from '../nats-identity.ts';
import { findFreePort } from '../ports.ts';
import { withClient } from '../postgres.ts';
import type { TestNats } from './test-nats.ts';
import { until } from './until.ts';

/** Those of docker-compose.yml. */
const natsImage = 'nats:2.12-alpine';
const postgresImage = 'postgres:18';

const clientPort = 4222;
const monitorPort = 8222;
const postgresPort = 5432;
const startupTimeoutMs = 120_000;

/** NATS in a container, on ports that stay when it is killed and comes back. */
export async function startNatsContainer(identity: NatsIdentity): Promise<TestNats> {
  const [port, monitor] = [await findFreePort(), await findFreePort()];
  const config = formatNatsConfig({
    serverName: 'nixfleet-test',
    listen: `0.0.0.0:${clientPort}`,
    monitor: `0.0.0.0:${monitorPort}`,
    storeDir: '/data',
    identity,
  });
  const container = await new GenericContainer(natsImage)
    .withCommand(['--config', '/etc/nixfleet-nats.conf'])
    .withCopyContentToContainer([{ content: config, target: '/etc/nixfleet-nats.conf' }])
    .withExposedPorts({ container: clientPort, host: port }, { container: monitorPort, host: monitor })
    .withWaitStrategy(Wait.forLogMessage(/Server is ready/))
    .withStartupTimeout(startupTimeoutMs)
    .start();
  const { container: engine } = await getContainerRuntimeClient();
  const healthUrl = `http://${container.getHost()}:${monitor}/healthz`;
  const answers = (): Promise<void> =>
    until(async () => (await fetch(healthUrl, { signal: AbortSignal.timeout(1000) })).ok);
  await answers();
  return {
    url: `nats://${container.getHost()}:${port}`,
    // Its file system stays, and with it what JetStream has stored.
    kill: () => engine.getById(container.getId()).kill({ signal: 'SIGKILL' }),
    revive: async () => {
      await engine.getById(container.getId()).start();
      await answers();
    },
    [Symbol.asyncDispose]: async () => {
      await container.stop();
    },
  };
}

export interface PostgresContainer extends AsyncDisposable {
  /** Connection string of the superuser. */
  readonly adminUrl: string;
}

/** Postgres in a container, set as docker-compose.yml sets it. */
export async function startPostgresContainer(): Promise<PostgresContainer> {
  const password = randomBytes(24).toString('base64url');
  const container = await new GenericContainer(postgresImage)
    .withEnvironment({ POSTGRES_USER: 'nixfleet', POSTGRES_DB: 'nixfleet', POSTGRES_PASSWORD: password })
    .withCommand(['postgres', '-c', 'max_connections=200', '-c', 'shared_buffers=128MB'])
    .withExposedPorts(postgresPort)
    .withWaitStrategy(Wait.forLogMessage(/ready for start up/))
    .withStartupTimeout(startupTimeoutMs)
    .start();
  const address = `${container.getHost()}:${container.getMappedPort(postgresPort)}`;
  const adminUrl = `postgres://nixfleet:${password}@${address}/postgres`;
  await until(() => withClient(adminUrl, async (client) => (await client.query('SELECT 1')).rowCount === 1));
  return {
    adminUrl,
    [Symbol.asyncDispose]: async () => {
      await container.stop();
    },
  };
}
