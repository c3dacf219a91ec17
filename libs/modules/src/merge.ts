import type { Config } from './config.ts';
import type { Definition, ExplainedDefinition, RawDefinition } from './definition.ts';
import { EvaluationError, placeOf, showValue, typeError } from './errors.ts';
import { asMarker, orders, priorities, type Thunk } from './markers.ts';
import type { Option } from './option.ts';
import { formatPath, type OptionPath, parsePath } from './option-path.ts';
import type { OptionType } from './option-type.ts';

/** What merging needs of the evaluation around it. */
export interface MergeScope {
  readonly config: Config;
  /** Conditions are shared by many definitions: each is evaluated once. */
  holds(condition: unknown, definition: RawDefinition, path: OptionPath): boolean;
}

const isOption = (value: object): value is Option<boolean> => 'key' in value && 'type' in value && 'path' in value;

/** The value of an `if` condition: a bool, a computed one, an option, or a reference to one. */
export function evaluateCondition(
  scope: MergeScope,
  condition: unknown,
  definition: RawDefinition,
  path: OptionPath,
): boolean {
  let value = condition;
  if (typeof value === 'function') value = (value as Thunk)(scope.config);
  else if (typeof value === 'object' && value !== null) {
    const marker = asMarker(value);
    if (marker !== undefined && '_type' in marker && marker._type === 'ref')
      value = scope.config.read(formatPath(marker.path));
    else if (isOption(value)) value = scope.config.get(value);
  }
  if (typeof value === 'boolean') return value;
  throw new EvaluationError('type', {
    ...placeOf(definition),
    optionPath: formatPath(path),
    message: 'the condition is no bool',
    expected: 'true, false or a reference to an option of type bool',
    found: showValue(value),
  });
}

/** Fills `${option.path}` with final values. Texts, numbers and bools can stand in a text. */
export function interpolate(
  config: Config,
  template: string,
  fail: (message: string, found?: string) => never,
): string {
  return template.replace(/\$\$\{|\$\{([^}]*)\}/g, (whole, reference: string | undefined) => {
    if (reference === undefined) return whole.slice(1);
    if (parsePath(reference) === undefined) fail(`\${${reference}} is no option path`);
    const value = config.read(reference);
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return String(value);
    return fail(`\${${reference}} cannot stand in a text`, showValue(value));
  });
}

function malformed(definition: RawDefinition, path: OptionPath, message: string, found?: string): EvaluationError {
  return new EvaluationError('malformed', {
    ...placeOf(definition),
    optionPath: formatPath(path),
    message,
    ...(found === undefined ? {} : { found }),
  });
}

interface Properties {
  readonly priority: number | undefined;
  readonly order: number | undefined;
}

/**
 * Resolves modifiers, references and computed values of one definition (nixpkgs: dischargeProperties, filterOverrides,
 * sortProperties). Gives no definition where a condition fails, several where it merges several.
 */
export function discharge(
  scope: MergeScope,
  type: Pick<OptionType<unknown>, 'joins'>,
  path: OptionPath,
  raw: RawDefinition,
): Definition[] {
  for (const condition of raw.conditions ?? []) if (!scope.holds(condition, raw, path)) return [];
  const found: Definition[] = [];
  const fail = (message: string, shown?: string): never => {
    throw malformed(raw, path, message, shown);
  };
  const visit = (value: unknown, { priority, order }: Properties): void => {
    if (typeof value === 'function') return visit((value as Thunk)(scope.config), { priority, order });
    const marker = typeof value === 'object' ? asMarker(value) : undefined;
    if (marker === undefined) {
      const band = priority ?? (type.joins(value) ? undefined : raw.scalarPriority);
      found.push({
        value,
        priority: band ?? priorities.normal,
        order: order ?? orders.normal,
        origin: raw.origin,
        position: raw.position,
        // An explicit priority decides for the whole value: the layer's band has no say inside it.
        scalarPriority: priority === undefined ? raw.scalarPriority : undefined,
      });
      return;
    }
    if ('malformed' in marker) return fail(marker.malformed);
    switch (marker._type) {
      case 'override':
        return visit(marker.content, { priority: priority ?? marker.priority, order });
      case 'order':
        return visit(marker.content, { priority, order: order ?? marker.priority });
      case 'if':
        if (scope.holds(marker.condition, raw, path)) visit(marker.content, { priority, order });
        return;
      case 'merge':
        for (const content of marker.contents) visit(content, { priority, order });
        return;
      case 'ref': {
        const referred = scope.config.read(formatPath(marker.path));
        if (referred === undefined) fail(`reference to ${formatPath(marker.path)}, which nothing defines`);
        return visit(referred, { priority, order });
      }
      case 'format':
        return visit(interpolate(scope.config, marker.template, fail), { priority, order });
    }
  };
  visit(raw.value, { priority: raw.priority, order: raw.order });
  return found;
}

/** Definitions of the best priority, sorted by order; definitions of equal order keep their places. */
export function selectWinning(definitions: readonly Definition[]): readonly Definition[] {
  if (definitions.length <= 1) return definitions;
  let best = Number.POSITIVE_INFINITY;
  for (const d of definitions) best = Math.min(best, d.priority);
  const winning = definitions.filter((d) => d.priority === best);
  return winning.some((d) => d.order !== orders.normal) ? winning.sort((a, b) => a.order - b.order) : winning;
}

export interface Merged<T> {
  readonly value: T;
  /** Every definition that holds, in merge order. */
  readonly definitions: readonly Definition[];
}

/** One value out of the definitions of an option or an element; undefined when none of them holds. */
export function mergeDefinitions<T>(
  scope: MergeScope,
  path: OptionPath,
  type: OptionType<T>,
  raws: readonly RawDefinition[],
): Merged<T> | undefined {
  const definitions =
    raws.length === 1 && raws[0] !== undefined
      ? discharge(scope, type, path, raws[0])
      : raws.flatMap((raw) => discharge(scope, type, path, raw));
  if (definitions.length === 0) return undefined;
  const winning = selectWinning(definitions);
  for (const definition of winning)
    if (!type.check(definition.value))
      throw typeError(path, definition, type.description, type.hint?.(definition.value));
  return { value: type.merge(scope, path, winning), definitions };
}

/** All definitions in merge order, the winning ones first, each marked. */
export function explainDefinitions(definitions: readonly Definition[]): readonly ExplainedDefinition[] {
  const winning = new Set(selectWinning(definitions));
  return [
    ...[...winning].map((d) => ({ ...d, winning: true })),
    ...definitions
      .filter((d) => !winning.has(d))
      .sort((a, b) => a.priority - b.priority)
      .map((d) => ({ ...d, winning: false })),
  ];
}
