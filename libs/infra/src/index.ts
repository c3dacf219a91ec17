export { Child, stopLeftover } from './child.ts';
export { formatNatsConfig } from './nats-config.ts';
export {
  agentPermissions,
  createNatsIdentity,
  issueCredentials,
  type NatsIdentity,
  servicePermissions,
} from './nats-identity.ts';
export { findNatsServer, Nats } from './nats-server.ts';
export { findFreePort, isPortFree } from './ports.ts';
export { Postgres, withClient } from './postgres.ts';
