import { createRequire } from 'node:module';
import {
  agentInboxPrefix,
  heartbeatSubject,
  intentDirectGetSubject,
  intentSubject,
  operatorBucket,
  reportSubject,
  type ServiceName,
} from '@nixfleet/schema';

// A CommonJS package: its named exports can't be seen by an import.
const jwt = createRequire(import.meta.url)('@nats-io/jwt') as typeof import('@nats-io/jwt');

/** Who may make users of a fleet's NATS. The seed is a secret; the rest is public. */
export interface NatsIdentity {
  readonly operatorJwt: string;
  readonly systemAccount: string;
  readonly systemAccountJwt: string;
  readonly fleetAccount: string;
  readonly fleetAccountJwt: string;
  /** Seed of the key that signs users of the fleet's account. */
  readonly signerSeed: string;
}

const unlimited = -1;

/** Makes an operator, a system account and the fleet's account with JetStream. The operator's own seed is thrown away. */
export async function createNatsIdentity(fleet: string): Promise<NatsIdentity> {
  const [operator, system, account, signer] = [
    jwt.createOperator(),
    jwt.createAccount(),
    jwt.createAccount(),
    jwt.createAccount(),
  ];
  const limits = {
    conn: unlimited,
    leaf: unlimited,
    imports: unlimited,
    exports: unlimited,
    wildcards: true,
    subs: unlimited,
    data: unlimited,
    payload: unlimited,
  };
  const storage = { mem_storage: unlimited, disk_storage: unlimited, streams: unlimited, consumer: unlimited };
  return {
    operatorJwt: await jwt.encodeOperator(`nixfleet ${fleet}`, operator, { system_account: system.getPublicKey() }),
    systemAccount: system.getPublicKey(),
    systemAccountJwt: await jwt.encodeAccount('SYS', system, { limits }, { signer: operator }),
    fleetAccount: account.getPublicKey(),
    fleetAccountJwt: await jwt.encodeAccount(
      fleet,
      account,
      { limits: { ...limits, ...storage }, signing_keys: [signer.getPublicKey()] },
      { signer: operator },
    ),
    signerSeed: Buffer.from(signer.getSeed()).toString('utf8'),
  };
}

export interface NatsPermissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** An agent's own subjects and nothing else. */
export const agentPermissions = (site: string, host: string): NatsPermissions => ({
  publish: [reportSubject(site, host), heartbeatSubject(site, host), intentDirectGetSubject(site, host)],
  subscribe: [intentSubject(site, host), `${agentInboxPrefix(host)}.>`],
});

/** A service publishes its own events; the deployer alone writes intents and operators. */
export function servicePermissions(service: ServiceName): NatsPermissions {
  const own = [`nixfleet.${service}.>`, `nixfleet.dead-letter.${service}.>`, '$JS.API.>', '$JS.ACK.>'];
  const more = service === 'deployer' ? ['nixfleet.intent.>', `$KV.${operatorBucket}.>`] : [];
  return {
    publish: [...own, ...more],
    subscribe: ['_INBOX.>', ...(service === 'telemetry' ? ['nixfleet.agent.heartbeat.>'] : [])],
  };
}

/** Text of a credentials file: the user's JWT and its seed. */
export async function issueCredentials(
  identity: NatsIdentity,
  name: string,
  permissions: NatsPermissions,
): Promise<string> {
  const user = jwt.createUser();
  const signer = jwt.fromSeed(Buffer.from(identity.signerSeed, 'utf8'));
  const claims = {
    issuer_account: identity.fleetAccount,
    pub: { allow: [...permissions.publish] },
    sub: { allow: [...permissions.subscribe] },
    subs: unlimited,
    data: unlimited,
    payload: unlimited,
  };
  const token = await jwt.encodeUser(name, user, signer, claims, { scopedUser: false });
  return Buffer.from(jwt.fmtCreds(token, user)).toString('utf8');
}
