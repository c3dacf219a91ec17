import { FleetError } from '@nixfleet/schema';
import { Api } from './api.ts';
import type { Output } from './output.ts';
import { readSettings, type Settings } from './settings.ts';

/** What every command gets: where the backend is, how to print. */
export interface Context {
  readonly output: Output;
  readonly settings: Settings;
  readonly resolver: Api;
  readonly deployer: Api;
  readonly telemetry: Api;
}

export function createContext(json: boolean): Context {
  const settings = readSettings(process.env, process.cwd());
  return {
    output: { json, print: (text) => process.stdout.write(`${text}\n`) },
    settings,
    resolver: new Api('config-resolver', settings.resolverUrl, settings.token),
    deployer: new Api('deployer', settings.deployerUrl, settings.token),
    telemetry: new Api('telemetry', settings.telemetryUrl, settings.token),
  };
}

/** A number from a flag, or an error that names the flag and what it takes. */
export function parseCount(flag: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max)
    throw new FleetError(
      'invalid_input',
      `${flag} takes a whole number from ${min} to ${max}, got ${JSON.stringify(text)}`,
    );
  return value;
}

/** Seconds from `30s`, `5m`, `12h`, `30d`. */
export function parseDuration(flag: string, text: string): number {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (count === undefined || unit === undefined)
    throw new FleetError(
      'invalid_input',
      `${flag} takes a duration such as 30s, 5m, 12h or 30d, got ${JSON.stringify(text)}`,
    );
  const seconds = { s: 1, m: 60, h: 3600, d: 86_400 }[unit as 's' | 'm' | 'h' | 'd'];
  return Number(count) * seconds;
}
