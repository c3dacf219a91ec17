import { join } from 'node:path';
import { findNatsServer, Nats, Postgres, stopLeftover } from '@nixfleet/infra';
import { serviceNames } from '@nixfleet/schema';
import type { Ports } from './ports.ts';
import type { Reporter } from './reporter.ts';
import type { Secrets } from './secrets.ts';
import { readIfThere, type StateDir, toolsDir, writePrivateFile } from './state-dir.ts';
import type { Supervisor } from './supervisor.ts';

const database = 'nixfleet';

export interface Infrastructure {
  readonly natsUrl: string;
  /** Connection string of a service's own role. */
  readonly postgresUrl: (service: (typeof serviceNames)[number]) => string;
}

/** Stops what a killed run left of them, so that their ports and files are free. */
export async function stopLeftoverInfrastructure(state: StateDir): Promise<void> {
  await stopLeftover(join(state.natsDir, 'nats-server.pid'), state.natsDir);
  const dataDir = await readIfThere(state.postgresLocationFile);
  if (dataDir !== undefined) await stopLeftover(join(dataDir, 'postmaster.pid'), dataDir);
}

/** Postgres with a role and schema for each service, and NATS with the fleet's account. */
export async function startInfrastructure(
  supervisor: Supervisor,
  reporter: Reporter,
  state: StateDir,
  secrets: Secrets,
  ports: Ports,
): Promise<Infrastructure> {
  let postgres: Postgres | undefined;
  await supervisor.start({
    name: 'Postgres',
    stage: 'postgres',
    logFile: state.logFile('postgres'),
    launch: async () => {
      postgres = await Postgres.start({
        dataDir: state.postgresDir,
        port: ports.postgres,
        logFile: state.logFile('postgres'),
      });
      await writePrivateFile(state.postgresLocationFile, postgres.dataDir);
      return postgres;
    },
  });
  await postgres?.provision(
    database,
    serviceNames.map((name) => ({ role: name, password: secrets.databasePasswords[name], schema: name })),
  );
  reporter.step(`Postgres      127.0.0.1:${ports.postgres}`);
  const binary = await findNatsServer(toolsDir, () =>
    reporter.step('nats-server is not on the PATH: unpacking the system package into .nixfleet/tools (once)'),
  );
  await supervisor.start({
    name: 'nats-server',
    stage: 'nats',
    logFile: state.logFile('nats'),
    launch: () =>
      Nats.start({
        binary,
        dir: state.natsDir,
        identity: secrets.natsIdentity,
        port: ports.nats,
        logFile: state.logFile('nats'),
      }),
  });
  reporter.step(`NATS          127.0.0.1:${ports.nats}`);
  return {
    natsUrl: `nats://127.0.0.1:${ports.nats}`,
    postgresUrl: (service) =>
      `postgres://${service}:${secrets.databasePasswords[service]}@127.0.0.1:${ports.postgres}/${database}`,
  };
}
