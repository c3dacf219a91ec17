import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { FleetError } from '@nixfleet/schema';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';

/** `.nixfleet.json`, found in the working directory or above it: where the backend is and who asks. */
const CliFile = Type.Object(
  {
    resolverUrl: Type.Optional(Type.String()),
    deployerUrl: Type.Optional(Type.String()),
    cacheUrl: Type.Optional(Type.String()),
    telemetryUrl: Type.Optional(Type.String()),
    /** `host:port` where the deployer listens for gRPC. */
    deployerGrpcAddress: Type.Optional(Type.String()),
    /** File that holds the operator token. */
    tokenFile: Type.Optional(Type.String()),
    /** File that holds the secret release key. */
    keyFile: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
);
type CliFile = Static<typeof CliFile>;

export interface Settings {
  readonly resolverUrl: string;
  readonly deployerUrl: string;
  readonly cacheUrl: string;
  readonly telemetryUrl: string;
  readonly deployerGrpcAddress: string;
  readonly token: () => string;
  readonly keyFile?: string;
}

const fileName = '.nixfleet.json';

/** Looks upwards; `npm start` writes its own into `.nixfleet/cli.json` of the checkout. */
function findFile(from: string): string | undefined {
  for (let dir = resolve(from); ; dir = dirname(dir)) {
    for (const candidate of [join(dir, fileName), join(dir, '.nixfleet', 'cli.json')])
      if (existsSync(candidate)) return candidate;
    if (dirname(dir) === dir) return undefined;
  }
}

function readCliFile(file: string): CliFile {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new FleetError('invalid_input', `${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (Value.Check(CliFile, value)) {
    const absolute = (path: string | undefined): string | undefined =>
      path === undefined ? undefined : resolve(dirname(file), path);
    const { tokenFile, keyFile, ...urls } = value;
    const [token, key] = [absolute(tokenFile), absolute(keyFile)];
    return {
      ...urls,
      ...(token === undefined ? {} : { tokenFile: token }),
      ...(key === undefined ? {} : { keyFile: key }),
    };
  }
  const [first] = Value.Errors(CliFile, value);
  throw new FleetError(
    'invalid_input',
    `${file}${first?.instancePath ?? ''}: ${first?.message ?? 'not a settings file'}`,
  );
}

/** Environment first, then the file, then the ports that `npm start` uses. */
export function readSettings(env: NodeJS.ProcessEnv, cwd: string): Settings {
  const named = env.NIXFLEET_CONFIG === '' ? undefined : env.NIXFLEET_CONFIG;
  const file = named ?? findFile(cwd) ?? findFile(import.meta.dirname);
  const values = file === undefined ? {} : readCliFile(file);
  const tokenFile = env.NIXFLEET_TOKEN_FILE ?? values.tokenFile;
  const keyFile = env.NIXFLEET_RELEASE_KEY_FILE ?? values.keyFile;
  return {
    resolverUrl: env.NIXFLEET_RESOLVER_URL ?? values.resolverUrl ?? 'http://127.0.0.1:7401',
    deployerUrl: env.NIXFLEET_DEPLOYER_URL ?? values.deployerUrl ?? 'http://127.0.0.1:7402',
    cacheUrl: env.NIXFLEET_CACHE_URL ?? values.cacheUrl ?? 'http://127.0.0.1:7403',
    telemetryUrl: env.NIXFLEET_TELEMETRY_URL ?? values.telemetryUrl ?? 'http://127.0.0.1:7404',
    deployerGrpcAddress: env.NIXFLEET_DEPLOYER_GRPC_ADDRESS ?? values.deployerGrpcAddress ?? '127.0.0.1:7407',
    token: () => {
      if (env.NIXFLEET_TOKEN !== undefined && env.NIXFLEET_TOKEN !== '') return env.NIXFLEET_TOKEN;
      if (tokenFile === undefined) {
        throw new FleetError(
          'unauthenticated',
          `no operator token: set NIXFLEET_TOKEN or NIXFLEET_TOKEN_FILE, or run where a ${fileName} names a tokenFile (npm start writes one)`,
        );
      }
      try {
        return readFileSync(tokenFile, 'utf8').trim();
      } catch (error) {
        throw new FleetError(
          'unauthenticated',
          `the operator token can't be read: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
    },
    ...(keyFile === undefined ? {} : { keyFile }),
  };
}
