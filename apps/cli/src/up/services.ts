import { setTimeout as sleep } from 'node:timers/promises';
import { FleetError, type ServiceName } from '@nixfleet/schema';
import type { Infrastructure } from './infrastructure.ts';
import type { Ports } from './ports.ts';
import { awaitReady, startProgram } from './processes.ts';
import type { Reporter } from './reporter.ts';
import type { Secrets } from './secrets.ts';
import { type StateDir, writePrivateFile } from './state-dir.ts';
import type { Supervisor } from './supervisor.ts';

/** On a slow machine four processes compile and migrate at once. */
const readyDeadlineMs = 60_000;

/** Directories below services/, by short name. */
const directories: Readonly<Record<ServiceName, string>> = {
  deployer: 'deployer',
  telemetry: 'telemetry',
  cache: 'cache-indexer',
  resolver: 'config-resolver',
};

export type ServiceUrls = Readonly<Record<ServiceName, string>>;

export const serviceUrls = (ports: Ports): ServiceUrls => ({
  resolver: `http://127.0.0.1:${ports.resolver}`,
  deployer: `http://127.0.0.1:${ports.deployer}`,
  cache: `http://127.0.0.1:${ports.cache}`,
  telemetry: `http://127.0.0.1:${ports.telemetry}`,
});

export const grpcAddressOf = (ports: Ports): string => `127.0.0.1:${ports.grpc}`;

/** What each service needs beside the settings that all have. */
const ownSettings = (
  state: StateDir,
  secrets: Secrets,
  urls: ServiceUrls,
  ports: Ports,
): Readonly<Record<ServiceName, Record<string, string>>> => ({
  deployer: {
    NIXFLEET_RELEASE_KEYS: secrets.releasePublicKey,
    NIXFLEET_CACHE_URLS: urls.cache,
    NIXFLEET_GRPC_PORT: String(ports.grpc),
    NIXFLEET_BOOTSTRAP_OPERATORS_FILE: secrets.bootstrapOperatorsFile,
  },
  telemetry: { NIXFLEET_PUBLIC_URL: urls.telemetry },
  cache: { NIXFLEET_CACHE_STORAGE_DIR: state.cacheDir, NIXFLEET_CACHE_SECRET_KEYS_FILE: secrets.cacheKeyFile },
  resolver: { NIXFLEET_CACHE_URL: urls.cache, NIXFLEET_CACHE_TOKEN_FILE: secrets.uploadTokenFile },
});

/** The environment of an instance of a service that listens on these ports. */
export function serviceSettings(
  service: ServiceName,
  state: StateDir,
  secrets: Secrets,
  natsUrl: string,
  ports: Ports,
): Record<string, string> {
  return {
    NIXFLEET_POSTGRES_URL_FILE: state.secretFile(`${service}.postgres-url`),
    NIXFLEET_NATS_URL: natsUrl,
    NIXFLEET_NATS_CREDS_FILE: secrets.natsCredsFiles[service],
    NIXFLEET_HTTP_PORT: String(ports[service]),
    ...ownSettings(state, secrets, serviceUrls(ports), ports)[service],
  };
}

/** The script of a service, below the checkout. */
export const serviceScript = (service: ServiceName): string => `services/${directories[service]}/src/main.ts`;

/** Starts the four services, each its own process, and waits until all are ready. */
export async function startServices(
  supervisor: Supervisor,
  reporter: Reporter,
  state: StateDir,
  secrets: Secrets,
  infrastructure: Infrastructure,
  ports: Ports,
): Promise<ServiceUrls> {
  const urls = serviceUrls(ports);
  const start = async (service: ServiceName): Promise<void> => {
    const name = directories[service];
    await writePrivateFile(state.secretFile(`${service}.postgres-url`), infrastructure.postgresUrl(service));
    const settings = serviceSettings(service, state, secrets, infrastructure.natsUrl, ports);
    await supervisor.start({
      name,
      stage: 'services',
      logFile: state.logFile(name),
      launch: async (signal) => {
        const script = serviceScript(service);
        const child = await startProgram({ name, state, script, args: ['--state', state.path], settings });
        return awaitReady(child, urls[service], readyDeadlineMs, signal);
      },
    });
    reporter.step(`${name.padEnd(16)} ${urls[service]}`);
  };
  // All are waited for, so that a failure of one leaves no other half started.
  const results = await Promise.allSettled((Object.keys(directories) as ServiceName[]).map(start));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  return urls;
}

const operatorsDeadlineMs = 30_000;
const operatorsPollMs = 100;

/** A question of each service that any operator may ask. */
const questions = (urls: ServiceUrls, secrets: Secrets): { url: string; token: string }[] => [
  { url: `${urls.deployer}/v1/releases?limit=1`, token: secrets.operatorToken },
  { url: `${urls.telemetry}/v1/hosts?limit=1`, token: secrets.operatorToken },
  { url: `${urls.resolver}/v1/revisions?limit=1`, token: secrets.operatorToken },
  // An answer about a path that is not there will do.
  { url: `${urls.cache}/v1/closures/${'0'.repeat(32)}`, token: secrets.uploadToken },
];

/** Waits until every service knows its operators: the deployer tells them to the others through NATS. */
export async function awaitOperators(urls: ServiceUrls, secrets: Secrets, signal: AbortSignal): Promise<void> {
  const giveUpMs = Date.now() + operatorsDeadlineMs;
  for (const { url, token } of questions(urls, secrets)) {
    for (;;) {
      signal.throwIfAborted();
      const headers = { authorization: `Bearer ${token}` };
      const status = await fetch(url, { headers, signal: AbortSignal.timeout(5000) }).then(
        (response) => response.status,
        () => 0,
      );
      if (status !== 0 && status !== 401 && status !== 503) break;
      if (Date.now() > giveUpMs)
        throw new FleetError('timed_out', `${url} does not accept its operator's token (status ${status || 'none'})`);
      await sleep(operatorsPollMs);
    }
  }
}
