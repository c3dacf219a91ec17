import { createHash, randomBytes } from 'node:crypto';
import { createNatsIdentity, formatNatsConfig, issueCredentials, servicePermissions } from '@nixfleet/infra';
import { formatPublicKey, formatSecretKey, generateKeyPair } from '@nixfleet/nix';
import { type CreateOperator, type ServiceName, serviceNames } from '@nixfleet/schema';
import type { ContainerUser, DeploymentFile } from './deployment-dir.ts';
import { deployerGrpcPort, formatPrometheusConfig, ports, serviceHosts } from './topology.ts';

const makePassword = (): string => randomBytes(32).toString('base64url');
const hashToken = (token: string): string => createHash('sha256').update(token, 'utf8').digest('hex');
const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

const database = 'nixfleet';

/** The store of this machine is mounted beside the one that the image brings. */
const harmoniaConfig = `bind = "0.0.0.0:5000"
virtual_nix_store = "/nix/store"
real_nix_store = "/host/nix/store"
`;

/** Runs once, on an empty Postgres: a role for each service that owns its own schema and sees nothing else. */
function formatInitSql(passwords: ReadonlyMap<ServiceName, string>): string {
  const roles = [...passwords].map(
    ([service, password]) => `CREATE ROLE ${service} LOGIN PASSWORD '${password}';
GRANT CONNECT ON DATABASE ${database} TO ${service};
CREATE SCHEMA ${service} AUTHORIZATION ${service};`,
  );
  return `REVOKE ALL ON DATABASE ${database} FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
${roles.join('\n')}
`;
}

/** Keys that decide what runs on hosts or who may speak: the operator's own, mounted nowhere. */
interface OperatorKeys {
  readonly identity: Awaited<ReturnType<typeof createNatsIdentity>>;
  readonly releaseKey: ReturnType<typeof generateKeyPair>;
  readonly operatorToken: string;
}

const operatorFiles = ({ identity, releaseKey, operatorToken }: OperatorKeys): DeploymentFile[] => [
  { path: 'nats-identity.json', text: json(identity) },
  { path: 'release.key', text: `${formatSecretKey(releaseKey)}\n` },
  { path: 'operator.token', text: `${operatorToken}\n` },
  {
    path: 'cli.json',
    text: json({
      resolverUrl: `http://127.0.0.1:${ports.resolver}`,
      deployerUrl: `http://127.0.0.1:${ports.deployer}`,
      deployerGrpcAddress: `127.0.0.1:${deployerGrpcPort}`,
      cacheUrl: `http://127.0.0.1:${ports.cache}`,
      telemetryUrl: `http://127.0.0.1:${ports.telemetry}`,
      tokenFile: 'operator.token',
      keyFile: 'release.key',
    }),
  },
];

/** What the four services read, each its own part of it. */
async function serviceFiles(
  keys: OperatorKeys,
  passwords: ReadonlyMap<ServiceName, string>,
): Promise<DeploymentFile[]> {
  const uploadToken = makePassword();
  const operators: CreateOperator[] = [
    { name: 'operator', role: 'admin', tokenSha256: hashToken(keys.operatorToken) },
    { name: 'config-resolver', role: 'deploy', tokenSha256: hashToken(uploadToken) },
  ];
  const own = await Promise.all(
    serviceNames.map(
      async (service): Promise<{ path: string; text: string }[]> => [
        {
          path: `services/${service}.creds`,
          text: await issueCredentials(keys.identity, service, servicePermissions(service)),
        },
        {
          path: `services/${service}.postgres-url`,
          text: `postgres://${service}:${passwords.get(service)}@postgres:5432/${database}\n`,
        },
      ],
    ),
  );
  return [
    ...own.flat(),
    { path: 'services/operators.json', text: json(operators) },
    { path: 'services/resolver-upload.token', text: `${uploadToken}\n` },
  ].map((file) => ({ ...file, forContainers: true }));
}

/** Every file of a new deployment: keys, tokens and passwords are made here and are nowhere else. */
export async function makeDeploymentFiles(fleet: string, dir: string, user: ContainerUser): Promise<DeploymentFile[]> {
  const keys: OperatorKeys = {
    identity: await createNatsIdentity(fleet),
    releaseKey: generateKeyPair(`${fleet}-1`),
    operatorToken: makePassword(),
  };
  const cacheKey = generateKeyPair(`cache.${fleet}-1`);
  const passwords = new Map(serviceNames.map((service) => [service, makePassword()]));
  const releasePublicKey = formatPublicKey(keys.releaseKey.publicKey);
  const natsConfig = formatNatsConfig({
    serverName: `nixfleet-${fleet}`,
    listen: '0.0.0.0:4222',
    monitor: '0.0.0.0:8222',
    storeDir: '/data',
    identity: keys.identity,
  });
  const environment = { NIXFLEET_UID: user.uid, NIXFLEET_GID: user.gid, NIXFLEET_DEPLOYMENT_DIR: dir };
  const agent = {
    NIXFLEET_FLEET: fleet,
    NIXFLEET_NATS_URL: `nats://${serviceHosts.nats}:4222`,
    NIXFLEET_RELEASE_KEYS: releasePublicKey,
    NIXFLEET_CACHE_KEYS: formatPublicKey(cacheKey.publicKey),
  };
  return [
    ...operatorFiles(keys),
    ...(await serviceFiles(keys, passwords)),
    { path: 'services/cache.key', text: `${formatSecretKey(cacheKey)}\n`, forContainers: true },
    { path: 'nats/nats-server.conf', text: natsConfig },
    { path: 'postgres/superuser.password', text: `${makePassword()}\n` },
    { path: 'postgres/init.sql', text: formatInitSql(passwords) },
    { path: 'prometheus/prometheus.yml', text: formatPrometheusConfig(fleet), open: true },
    { path: 'harmonia/harmonia.toml', text: harmoniaConfig, open: true },
    { path: '.env', text: formatEnvironment(environment) },
    { path: 'deployer.env', text: formatEnvironment({ NIXFLEET_RELEASE_KEYS: releasePublicKey }) },
    { path: 'agent.env', text: formatEnvironment(agent) },
  ];
}

const formatEnvironment = (variables: Readonly<Record<string, string | number>>): string =>
  Object.entries(variables)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
