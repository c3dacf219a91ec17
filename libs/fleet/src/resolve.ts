import { createHash } from 'node:crypto';
import { type Evaluation, EvaluationError } from '@nixfleet/modules';
import type { DeclaredJob, Diagnostic } from '@nixfleet/schema';
import { assertions, backupOptions, randomizedDelaySeconds, timeZone, warnings } from '@nixfleet/scopes';
import { evaluateFleetHost } from './layers.ts';
import type { LoadedFleet, LoadedHost } from './load.ts';

/** A host whose configuration is known and holds. */
export interface ResolvedHost {
  readonly loaded: LoadedHost;
  readonly evaluation: Evaluation;
  /** Every option and value, plain. */
  readonly config: Readonly<Record<string, unknown>>;
  /** SHA-256 hex of the configuration. */
  readonly configDigest: string;
  readonly jobs: readonly DeclaredJob[];
}

const ownOption = /^(nixfleet|hostSpec|services\.nixfleet-)/;

/** Nix is lazy: an option of ours that lacks a value matters only where something of the system reads it. */
const matters = (error: EvaluationError): boolean =>
  (error.kind !== 'missing' && error.kind !== 'refused') || !ownOption.test(error.diagnostics[0]?.optionPath ?? '');

/** The jobs that telemetry expects pings of. */
function declaredJobs(evaluation: Evaluation): DeclaredJob[] {
  if (!evaluation.getOr(backupOptions.enable, false)) return [];
  const timeoutSeconds = evaluation.get(backupOptions.timeoutSeconds);
  const graceSeconds = evaluation.get(backupOptions.graceSeconds);
  return [
    {
      kind: 'backup',
      name: 'backup',
      schedule: evaluation.get(backupOptions.schedule),
      randomizedDelaySeconds,
      timeZone: evaluation.get(timeZone),
      ...(timeoutSeconds === null ? {} : { timeoutSeconds }),
      ...(graceSeconds === null ? {} : { graceSeconds }),
    },
  ];
}

/** What an operator's mistake could put where every user of a host can read it. */
function secretDiagnostics(config: Readonly<Record<string, unknown>>): Omit<Diagnostic, 'severity'>[] {
  const users = (config['users'] as { users?: Record<string, { hashedPassword?: unknown }> } | undefined)?.users ?? {};
  return Object.entries(users)
    .filter(([, user]) => typeof user.hashedPassword === 'string')
    .map(([name]) => ({
      optionPath: `nixfleet.operators.users.${name}.hashedPassword`,
      message: 'a password hash in a closure can be read by everyone who can read the store or the cache',
      expected: 'hashedPasswordFile, a file on the host',
      found: 'hashedPassword',
      hint: `Put the hash into a secret of the host and set nixfleet.operators.users.${name}.hashedPasswordFile to its path.`,
    }));
}

export function resolveHost(
  fleet: LoadedFleet,
  loaded: LoadedHost,
): { host?: ResolvedHost; diagnostics: Diagnostic[] } {
  const diagnostics: Diagnostic[] = [];
  const report = (diagnostic: Omit<Diagnostic, 'severity'>, severity: Diagnostic['severity'] = 'error'): void => {
    diagnostics.push({ file: loaded.file.path, ...diagnostic, severity, host: loaded.name });
  };
  const told = new Set<unknown>();
  const onError = (error: unknown): void => {
    if (!(error instanceof EvaluationError)) throw error;
    if (told.has(error) || !matters(error)) return;
    told.add(error);
    for (const diagnostic of error.diagnostics) report(diagnostic);
  };
  const evaluation = evaluateFleetHost(fleet, loaded);
  evaluation.errors.forEach(onError);
  const { assertions: _assertions, warnings: _warnings, ...config } = evaluation.toPlain(onError);
  if (diagnostics.length > 0) return { diagnostics };
  try {
    for (const { assertion, message } of evaluation.get(assertions))
      if (!assertion) report({ message: `assertion failed: ${message}` });
    for (const message of evaluation.get(warnings)) report({ message }, 'warning');
    for (const diagnostic of secretDiagnostics(config)) report(diagnostic);
    if (diagnostics.some((d) => d.severity === 'error')) return { diagnostics };
    const jobs = declaredJobs(evaluation);
    const configDigest = createHash('sha256').update(JSON.stringify(config)).digest('hex');
    return { host: { loaded, evaluation, config, configDigest, jobs }, diagnostics };
  } catch (error) {
    onError(error);
    return { diagnostics };
  }
}

const maxDiagnostics = 200;

/** One mistake in a shared layer shows on every host: it is told once, with the first host and how many more. */
export function mergeDiagnostics(diagnostics: readonly Diagnostic[]): Diagnostic[] {
  const merged = new Map<string, { diagnostic: Diagnostic; hosts: Set<string> }>();
  for (const diagnostic of diagnostics) {
    const { host, ...rest } = diagnostic;
    const key = JSON.stringify(rest);
    const found = merged.get(key);
    if (found === undefined) merged.set(key, { diagnostic, hosts: new Set(host === undefined ? [] : [host]) });
    else if (host !== undefined) found.hosts.add(host);
  }
  return [...merged.values()].slice(0, maxDiagnostics).map(({ diagnostic, hosts }) => {
    const [first] = hosts;
    if (first === undefined || hosts.size === 1) return diagnostic;
    return { ...diagnostic, host: `${first} and ${hosts.size - 1} more` };
  });
}
