import { isPackage, isPlainObject } from '@nixfleet/modules';
import { isScript, type Unit } from '@nixfleet/scopes';

/** A script that a unit runs: a file of the closure of its own. */
export interface UnitScript {
  readonly name: string;
  readonly text: string;
}

export interface RenderedUnit {
  /** Text of the unit; `placeholderOf(script)` stands where a script's path belongs. */
  readonly text: string;
  readonly scripts: readonly UnitScript[];
  /** Units whose `.wants` or `.requires` directory links to this one. */
  readonly wantedBy: readonly string[];
  readonly requiredBy: readonly string[];
}

/** Replaced by the store path once the script's object is made. */
export const placeholderOf = (script: UnitScript): string => `@nixfleet-script:${script.name}@`;

/** Programs are those of the running system: a native closure names packages, it does not contain them. */
export const resolvePrograms = (text: string): string =>
  text.replaceAll(/\/nix\/store\/(?![0-9a-df-np-sv-z]{32}-)[A-Za-z0-9._+-]+\/(s?bin)\//g, '/run/current-system/sw/$1/');

/** Units hold texts and numbers; whatever else stands there shows as JSON. */
const plainText = (value: unknown): string =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : JSON.stringify(value);

/** A value as a unit file writes it; lists become repeated settings. */
function settingLines(key: string, value: unknown, scripts: UnitScript[]): string[] {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return value.flatMap((item) => settingLines(key, item, scripts));
  if (isScript(value)) {
    scripts.push({ name: value.name, text: value.text });
    return [`${key}=${placeholderOf(value)}`];
  }
  if (isPackage(value)) return [`${key}=/run/current-system/sw`];
  const text = typeof value === 'boolean' ? (value ? 'true' : 'false') : plainText(value);
  return [`${key}=${resolvePrograms(text).replaceAll('\n', '\\\n')}`];
}

const section = (name: string, lines: readonly string[]): string =>
  lines.length === 0 ? '' : `[${name}]\n${lines.join('\n')}\n\n`;

const listSetting = (key: string, values: readonly string[] | undefined): string[] =>
  values === undefined || values.length === 0 ? [] : [`${key}=${values.join(' ')}`];

const settingsOf = (values: Readonly<Record<string, unknown>> | undefined, scripts: UnitScript[]): string[] =>
  Object.entries(values ?? {}).flatMap(([key, value]) => settingLines(key, value, scripts));

const quoteEnvironment = (value: unknown): string => String(value).replaceAll('\\', '\\\\').replaceAll('"', '\\"');

function environmentLines(unit: Unit): string[] {
  const path = '/run/current-system/sw/bin:/run/current-system/sw/sbin:/usr/bin:/bin:/usr/sbin:/sbin';
  const values = { PATH: path, ...unit.environment };
  return Object.entries(values)
    .filter(([, value]) => value !== null && !isPlainObject(value))
    .map(([key, value]) => `Environment="${key}=${quoteEnvironment(value)}"`);
}

/** `script`, `preStart` and `postStart` as files, as NixOS makes them. */
function scriptSettings(name: string, unit: Unit, scripts: UnitScript[]): string[] {
  const phases = [
    ['ExecStartPre', 'pre-start', unit.preStart],
    ['ExecStart', 'start', unit.script],
    ['ExecStartPost', 'post-start', unit.postStart],
  ] as const;
  return phases.flatMap(([key, suffix, text]) => {
    if (text === undefined || text.trim() === '') return [];
    const script = { name: `${name}-${suffix}`, text: `#!/bin/sh\nset -e\n${text.replace(/\n*$/, '\n')}` };
    scripts.push(script);
    return [`${key}=${placeholderOf(script)}`];
  });
}

/** A unit of `systemd.services` or `systemd.timers` as systemd reads it (systemd.unit(5)). */
export function renderUnit(kind: 'service' | 'timer', name: string, unit: Unit): RenderedUnit {
  const scripts: UnitScript[] = [];
  const head = [
    ...(unit.description === undefined ? [] : [`Description=${unit.description}`]),
    ...listSetting('After', unit.after),
    ...listSetting('Before', unit.before),
    ...listSetting('Wants', unit.wants),
    ...listSetting('Requires', unit.requires),
    ...(unit.startLimitIntervalSec === undefined ? [] : [`StartLimitIntervalSec=${unit.startLimitIntervalSec}`]),
    ...settingsOf(unit.unitConfig, scripts),
  ];
  const body =
    kind === 'service'
      ? section('Service', [
          ...environmentLines(unit),
          ...scriptSettings(name, unit, scripts),
          ...settingsOf(unit.serviceConfig, scripts),
        ])
      : section('Timer', settingsOf(unit.timerConfig, scripts));
  return {
    text: `${`${section('Unit', head)}${body}`.trimEnd()}\n`,
    scripts: scripts.map((script) => ({ ...script, text: resolvePrograms(script.text) })),
    wantedBy: unit.wantedBy ?? [],
    requiredBy: unit.requiredBy ?? [],
  };
}
