import type { NatsIdentity } from './nats-identity.ts';

export interface NatsServerSettings {
  readonly serverName: string;
  /** `address:port` for clients, and for the monitoring pages. */
  readonly listen: string;
  readonly monitor: string;
  /** Directory of JetStream's files. */
  readonly storeDir: string;
  readonly identity: NatsIdentity;
}

/** A nats-server's configuration in operator mode with the fleet's account. Nothing in it is secret. */
export const formatNatsConfig = ({ serverName, listen, monitor, storeDir, identity }: NatsServerSettings): string =>
  `server_name: ${serverName}
listen: "${listen}"
http: "${monitor}"
max_payload: 1MB
max_connections: 64K
write_deadline: "10s"
jetstream {
  store_dir: ${JSON.stringify(storeDir)}
  max_mem: 256MB
  max_file: 64GB
}
operator: ${identity.operatorJwt}
system_account: ${identity.systemAccount}
resolver: MEMORY
resolver_preload {
  ${identity.systemAccount}: ${identity.systemAccountJwt}
  ${identity.fleetAccount}: ${identity.fleetAccountJwt}
}
`;
