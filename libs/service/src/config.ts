import { readFileSync } from 'node:fs';
import { FleetError } from '@nixfleet/schema';
import { Secret } from './secret.ts';

/** One setting: how its text becomes a value. `parse` throws an Error that says what is expected. */
export interface Setting<T> {
  readonly description: string;
  readonly parse: (text: string) => T;
  readonly fallback?: T;
  /** Shown in documentation in place of the fallback. */
  readonly fallbackText?: string;
  /** Also read from the file that `<NAME>_FILE` names. */
  readonly fromFile?: boolean;
}

export type SettingsSpec = Readonly<Record<string, Setting<unknown>>>;
export type SettingsOf<Spec extends SettingsSpec> = {
  readonly [Key in keyof Spec]: Spec[Key] extends Setting<infer T> ? T : never;
};

interface More<T> {
  readonly fallback?: T;
  readonly fromFile?: boolean;
}

export const text = (description: string, more: More<string> = {}): Setting<string> => ({
  description,
  parse: (value) => value,
  ...more,
});

export const integer = (description: string, min: number, max: number, fallback?: number): Setting<number> => ({
  description,
  parse: (value) => {
    const number = Number(value);
    if (!Number.isInteger(number) || number < min || number > max)
      throw new Error(`expected a whole number from ${min} to ${max}`);
    return number;
  },
  ...(fallback === undefined ? {} : { fallback }),
});

export const url = (description: string, schemes: readonly string[], more: More<string> = {}): Setting<string> => ({
  description,
  parse: (value) => {
    const parsed = URL.parse(value);
    if (parsed === null || !schemes.includes(parsed.protocol.slice(0, -1)))
      throw new Error(`expected a URL beginning with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`);
    return value;
  },
  ...more,
});

/** A URL that holds a secret: what is wrong with it is told without it. */
export const secretUrl = (description: string, schemes: readonly string[]): Setting<Secret> => ({
  description,
  parse: (value) => new Secret(url(description, schemes).parse(value)),
  fromFile: true,
});

export const secret = (description: string): Setting<Secret> => ({
  description,
  parse: (value) => new Secret(value),
  fromFile: true,
});

export const words = (description: string, fallback?: readonly string[]): Setting<readonly string[]> => ({
  description,
  parse: (value) => value.split(/[\s,]+/).filter(Boolean),
  ...(fallback === undefined ? {} : { fallback, fallbackText: fallback.join(' ') || 'none' }),
});

export const choice = <T extends string>(description: string, values: readonly T[], fallback: T): Setting<T> => ({
  description,
  parse: (value) => {
    const found = values.find((candidate) => candidate === value);
    if (found === undefined) throw new Error(`expected one of ${values.join(', ')}`);
    return found;
  },
  fallback,
});

/** `natsUrl` → `NIXFLEET_NATS_URL`. */
export const variableOf = (key: string): string =>
  `NIXFLEET_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;

/**
 * Reads every setting from the environment. All that is wrong is reported in one error, by variable, with what was
 * expected; values of secrets never appear in it.
 */
export function readSettings<Spec extends SettingsSpec>(spec: Spec, env: NodeJS.ProcessEnv): SettingsOf<Spec> {
  const values: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [key, setting] of Object.entries(spec)) {
    const variable = variableOf(key);
    try {
      const found = readText(variable, setting, env);
      if (found !== undefined) values[key] = setting.parse(found);
      else if ('fallback' in setting) values[key] = setting.fallback;
      else problems.push(`${variable} is not set: ${setting.description}`);
    } catch (error) {
      problems.push(`${variable}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (problems.length > 0) throw new FleetError('invalid_input', `the settings are wrong:\n  ${problems.join('\n  ')}`);
  return values as SettingsOf<Spec>;
}

function readText(variable: string, setting: Setting<unknown>, env: NodeJS.ProcessEnv): string | undefined {
  const direct = env[variable];
  if (direct !== undefined && direct !== '') return direct;
  const file = env[`${variable}_FILE`];
  if (setting.fromFile !== true || file === undefined || file === '') return undefined;
  return readFileSync(file, 'utf8').trim();
}

/** Settings that every service has. */
export const commonSettings = {
  postgresUrl: secretUrl('connection string of Postgres, postgres://user:password@host:port/database', [
    'postgres',
    'postgresql',
  ]),
  natsUrl: url('address of NATS', ['nats', 'tls']),
  natsCredsFile: text('credentials file of this service for NATS'),
  httpHost: text('address to listen on', { fallback: '127.0.0.1' }),
  httpPort: integer('port to listen on, 0 for any free one', 0, 65_535),
  logLevel: choice('how much to log', ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const, 'info'),
  shutdownTimeoutMs: integer(
    'how long a shutdown may take before the process ends anyway, in ms',
    100,
    600_000,
    15_000,
  ),
} satisfies SettingsSpec;

/** The table of settings for a service's README. */
export function describeSettings(spec: SettingsSpec): string {
  const rows = Object.entries(spec).map(([key, setting]) => {
    const fallback =
      'fallback' in setting ? `\`${setting.fallbackText ?? (String(setting.fallback) || 'none')}\`` : 'required';
    return `| \`${variableOf(key)}\`${setting.fromFile === true ? ' (or `_FILE`)' : ''} | ${setting.description} | ${fallback} |`;
  });
  return ['| variable | what it is | default |', '| --- | --- | --- |', ...rows].join('\n');
}
