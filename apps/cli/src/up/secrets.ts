import { createHash, randomBytes } from 'node:crypto';
import {
  agentPermissions,
  createNatsIdentity,
  issueCredentials,
  type NatsIdentity,
  servicePermissions,
} from '@nixfleet/infra';
import { formatPublicKey, formatSecretKey, generateKeyPair, parseSecretKey } from '@nixfleet/nix';
import type { CreateOperator, ServiceName } from '@nixfleet/schema';
import { readOrCreate, type StateDir, writePrivateFile } from './state-dir.ts';

export interface Secrets {
  /** Public halves, `name:base64`. */
  readonly releasePublicKey: string;
  readonly cachePublicKey: string;
  readonly cacheKeyFile: string;
  readonly natsIdentity: NatsIdentity;
  readonly natsCredsFiles: Readonly<Record<ServiceName, string>>;
  readonly databasePasswords: Readonly<Record<ServiceName, string>>;
  readonly operatorToken: string;
  /** Token with which config-resolver uploads. */
  readonly uploadToken: string;
  readonly uploadTokenFile: string;
  readonly bootstrapOperatorsFile: string;
}

const makeToken = (): string => `${randomBytes(32).toString('base64url')}\n`;
const hashToken = (token: string): string => createHash('sha256').update(token, 'utf8').digest('hex');

async function keyPair(file: string, name: string): Promise<string> {
  const text = await readOrCreate(file, () => `${formatSecretKey(generateKeyPair(name))}\n`);
  return formatPublicKey(parseSecretKey(text.trim()).publicKey);
}

async function forEachService(make: (service: ServiceName) => Promise<string>): Promise<Record<ServiceName, string>> {
  const [resolver, deployer, cache, telemetry] = await Promise.all([
    make('resolver'),
    make('deployer'),
    make('cache'),
    make('telemetry'),
  ]);
  return { resolver, deployer, cache, telemetry };
}

/** Reads every secret of the backend; makes those that are missing. A second start finds the same ones. */
export async function openSecrets(state: StateDir, fleet: string): Promise<Secrets> {
  const cacheKeyFile = state.secretFile('cache.key');
  const identityText = await readOrCreate(state.secretFile('nats-identity.json'), async () =>
    JSON.stringify(await createNatsIdentity(fleet)),
  );
  const natsIdentity = JSON.parse(identityText) as NatsIdentity;
  const operatorToken = (await readOrCreate(state.operatorTokenFile, makeToken)).trim();
  const uploadTokenFile = state.secretFile('resolver-upload.token');
  const uploadToken = (await readOrCreate(uploadTokenFile, makeToken)).trim();
  const operators: CreateOperator[] = [
    { name: 'operator', role: 'admin', tokenSha256: hashToken(operatorToken) },
    { name: 'config-resolver', role: 'deploy', tokenSha256: hashToken(uploadToken) },
  ];
  const bootstrapOperatorsFile = state.secretFile('operators.json');
  await writePrivateFile(bootstrapOperatorsFile, `${JSON.stringify(operators, undefined, 2)}\n`);
  return {
    releasePublicKey: await keyPair(state.releaseKeyFile, `${fleet}-1`),
    cachePublicKey: await keyPair(cacheKeyFile, `cache.${fleet}-1`),
    cacheKeyFile,
    natsIdentity,
    natsCredsFiles: await forEachService(async (service) => {
      const file = state.secretFile(`${service}.creds`);
      await readOrCreate(file, () => issueCredentials(natsIdentity, service, servicePermissions(service)));
      return file;
    }),
    databasePasswords: await forEachService((service) =>
      readOrCreate(state.secretFile(`${service}.database-password`), () => randomBytes(24).toString('base64url')),
    ),
    operatorToken,
    uploadToken,
    uploadTokenFile,
    bootstrapOperatorsFile,
  };
}

/** Credentials of one host's agent: its own subjects at its site, nothing else. */
export async function openAgentCreds(
  state: StateDir,
  identity: NatsIdentity,
  agent: { readonly site: string; readonly host: string },
): Promise<string> {
  const file = state.secretFile(`agents/${agent.host}@${agent.site}.creds`);
  await readOrCreate(file, () =>
    issueCredentials(identity, `agent ${agent.host}`, agentPermissions(agent.site, agent.host)),
  );
  return file;
}

/** Lets the CLI find this backend. Paths are relative to the file. */
export async function writeCliFile(state: StateDir, urls: Readonly<Record<string, string>>): Promise<void> {
  const file = { ...urls, tokenFile: 'operator.token', keyFile: 'release.key' };
  await writePrivateFile(state.cliFile, `${JSON.stringify(file, undefined, 2)}\n`);
}
