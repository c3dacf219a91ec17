import { parseArgs } from 'node:util';
import { type PublicKey, parsePublicKey } from '@nixfleet/nix';
import { FleetError, FleetName, HostId, SiteId } from '@nixfleet/schema';
import { type TSchema } from 'typebox';
import { Value } from 'typebox/value';

export interface AgentConfig {
  readonly fleet: string;
  readonly site: string;
  readonly host: string;
  /** Directory that holds the host's file system; `/` on a real host. */
  readonly root: string;
  readonly stateDir: string;
  readonly natsUrl: string;
  readonly natsCredsFile: string;
  readonly releaseKeys: readonly PublicKey[];
  readonly cacheKeys: readonly PublicKey[];
  readonly heartbeatSeconds: number;
  readonly logLevel: string;
}

export const agentVersion = '0.1.0';

export const usage = `nixfleet-agent: brings this host to what its fleet's signed releases say

  nixfleet-agent [--root DIR]

Settings, from the environment:
  NIXFLEET_FLEET, NIXFLEET_SITE, NIXFLEET_HOST   who this host is
  NIXFLEET_ROOT               the same as --root (default /)
  NIXFLEET_STATE_DIR          journal of attempts (default ROOT/var/lib/nixfleet-agent)
  NIXFLEET_NATS_URL           nats://host:port
  NIXFLEET_NATS_CREDS_FILE    credentials limited to this host's subjects
  NIXFLEET_RELEASE_KEYS       public release keys, name:base64, separated by spaces
  NIXFLEET_CACHE_KEYS         public cache keys, name:base64, separated by spaces
  NIXFLEET_HEARTBEAT_SECONDS  default 30
  NIXFLEET_LOG_LEVEL          default info
`;

/** Reads flags and environment; throws one error that names everything that is wrong. */
export function readConfig(argv: readonly string[], env: NodeJS.ProcessEnv): AgentConfig | 'help' {
  const { values: flags } = parseArgs({
    args: [...argv],
    options: { root: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (flags.help) return 'help';
  const problems: string[] = [];
  const required = (name: string, schema?: TSchema): string => {
    const value = env[name] ?? '';
    if (value === '') problems.push(`${name} is not set`);
    else if (schema !== undefined && !Value.Check(schema, value))
      problems.push(`${name} is ${JSON.stringify(value)}, expected a-z, 0-9 and dashes`);
    return value;
  };
  const keys = (name: string): PublicKey[] => {
    const words = (env[name] ?? '').split(/[\s,]+/).filter(Boolean);
    if (words.length === 0) problems.push(`${name} is not set: at least one public key is needed`);
    return words.flatMap((word) => {
      try {
        return [parsePublicKey(word)];
      } catch (error) {
        problems.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
        return [];
      }
    });
  };
  const heartbeatSeconds = Number(env.NIXFLEET_HEARTBEAT_SECONDS ?? 30);
  if (!Number.isInteger(heartbeatSeconds) || heartbeatSeconds < 1 || heartbeatSeconds > 3600) {
    problems.push(
      `NIXFLEET_HEARTBEAT_SECONDS is ${JSON.stringify(env.NIXFLEET_HEARTBEAT_SECONDS)}, expected 1 to 3600`,
    );
  }
  const root = (flags.root ?? env.NIXFLEET_ROOT ?? '/').replace(/\/+$/, '') || '/';
  if (!root.startsWith('/')) problems.push(`the root ${JSON.stringify(root)} is not an absolute path`);
  const config: AgentConfig = {
    fleet: required('NIXFLEET_FLEET', FleetName),
    site: required('NIXFLEET_SITE', SiteId),
    host: required('NIXFLEET_HOST', HostId),
    root,
    stateDir: env.NIXFLEET_STATE_DIR ?? `${root === '/' ? '' : root}/var/lib/nixfleet-agent`,
    natsUrl: required('NIXFLEET_NATS_URL'),
    natsCredsFile: required('NIXFLEET_NATS_CREDS_FILE'),
    releaseKeys: keys('NIXFLEET_RELEASE_KEYS'),
    cacheKeys: keys('NIXFLEET_CACHE_KEYS'),
    heartbeatSeconds,
    logLevel: env.NIXFLEET_LOG_LEVEL ?? 'info',
  };
  if (problems.length > 0)
    throw new FleetError('invalid_input', `nixfleet-agent can't start:\n  ${problems.join('\n  ')}`);
  return config;
}
