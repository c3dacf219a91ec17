import { type Diagnostic, FleetError } from '@nixfleet/schema';
import type { Definition, Origin, Position } from './definition.ts';
import { isPackage, isPlainObject } from './markers.ts';
import { formatPath, type OptionPath } from './option-path.ts';

/**
 * What kind of mistake an evaluation met. `missing` (a value that nothing gives) and `refused` (a scope's own check)
 * matter only where something reads the value; the others are wrong wherever they stand.
 */
export type EvaluationErrorKind = 'unknown' | 'type' | 'conflict' | 'cycle' | 'missing' | 'refused' | 'malformed';

/** A mistake in the modules that are evaluated. One object per mistake, however often its value is asked for. */
export class EvaluationError extends FleetError {
  readonly kind: EvaluationErrorKind;

  constructor(kind: EvaluationErrorKind, diagnostic: Omit<Diagnostic, 'severity'>) {
    super('invalid_fleet', `${diagnostic.optionPath ?? ''}: ${diagnostic.message}`, {
      diagnostics: [{ severity: 'error', ...diagnostic }],
    });
    this.kind = kind;
  }
}

/** Thrown by computed values: `refuse('two operators, set primaryUser')`. The evaluation adds where. */
export class RefusedValue extends Error {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

export function refuse(message: string, hint?: string): never {
  throw new RefusedValue(message, hint);
}

/** Fields of a diagnostic that say where. */
export function placeOf(definition: { readonly origin: Origin; readonly position?: Position | undefined }): {
  file?: string;
  line?: number;
  column?: number;
} {
  const { origin, position } = definition;
  if (origin.file === undefined) return {};
  return position === undefined
    ? { file: origin.file }
    : { file: origin.file, line: position.line, column: position.column };
}

const maxShown = 80;

/** A value in one short line. */
export function showValue(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'function') return 'a computed value';
  if (isPackage(value)) return `the package ${value.name}`;
  if (Array.isArray(value) && value.length > 20) return `a list of ${value.length} items`;
  if (isPlainObject(value)) {
    const keys = Object.keys(value);
    return keys.length === 0
      ? 'an empty attribute set'
      : `an attribute set with ${keys.slice(0, 5).join(', ')}${keys.length > 5 ? ', …' : ''}`;
  }
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > maxShown ? `${text.slice(0, maxShown - 1)}…` : text;
}

export function typeError(
  path: OptionPath,
  definition: Pick<Definition, 'value' | 'origin' | 'position'>,
  expected: string,
  hint?: string,
): EvaluationError {
  const by = definition.origin.file === undefined ? ` (set by ${definition.origin.label})` : '';
  return new EvaluationError('type', {
    ...placeOf(definition),
    optionPath: formatPath(path),
    message: `wrong type${by}`,
    expected,
    found: showValue(definition.value),
    ...(hint === undefined ? {} : { hint }),
  });
}

/** Both sides of a conflict by file, line and priority. The place is the one that a user can edit. */
export function conflictError(path: OptionPath, definitions: readonly Definition[], reason: string): EvaluationError {
  const shown = definitions.slice(0, 4).map((d) => {
    const place = placeOf(d);
    const where =
      place.file === undefined
        ? d.origin.label
        : `${place.file}${place.line === undefined ? '' : `:${place.line}`} (${d.origin.label})`;
    return `${showValue(d.value)} in ${where}, priority ${d.priority}`;
  });
  const editable = definitions.findLast((d) => d.origin.file !== undefined) ?? definitions[0];
  return new EvaluationError('conflict', {
    ...(editable === undefined ? {} : placeOf(editable)),
    optionPath: formatPath(path),
    message: `${reason}: ${shown.join(' | ')}`,
    hint: 'Keep one of them, or give one a priority with !force or !default.',
  });
}
