import { type Definition, memberOf } from '../definition.ts';
import { conflictError } from '../errors.ts';
import { isAttributeSet, isPackage } from '../markers.ts';
import { type MergeScope, mergeDefinitions } from '../merge.ts';
import type { OptionPath } from '../option-path.ts';
import { describe, type OptionType } from '../option-type.ts';
import { attrsOf } from './collections.ts';
import { mergeEqual, mergeOne } from './merge-scalar.ts';

export function nullOr<T>(element: OptionType<T>): OptionType<T | null> {
  return {
    description: `null or ${describe(element, 'noun', 'conjunction')}`,
    descriptionClass: 'conjunction',
    check: (value) => value === null || element.check(value),
    joins: (value) => value !== null && element.joins(value),
    emptyValue: { value: null },
    hint: (value) => element.hint?.(value),
    merge: (scope, path, definitions) => {
      const nulls = definitions.filter((d) => d.value === null).length;
      if (nulls === definitions.length) return null;
      if (nulls > 0) throw conflictError(path, definitions, 'defined both null and not null');
      return element.merge(scope, path, definitions);
    },
  };
}

export function either<A, B>(first: OptionType<A>, second: OptionType<B>): OptionType<A | B> {
  return {
    description: `${describe(first, 'noun', 'conjunction')} or ${describe(second, 'noun', 'conjunction', 'composite')}`,
    descriptionClass: 'conjunction',
    check: (value) => first.check(value) || second.check(value),
    joins: (value) => (first.check(value) ? first.joins(value) : second.joins(value)),
    merge: (scope, path, definitions) => {
      if (definitions.every((d) => first.check(d.value))) return first.merge(scope, path, definitions);
      if (definitions.every((d) => second.check(d.value))) return second.merge(scope, path, definitions);
      return mergeOne<A | B>(scope, path, definitions);
    },
  };
}

/** `oneOf [a b c]` is `either a (either b c)` in nixpkgs, from the left. */
export function oneOf(types: readonly OptionType<unknown>[]): OptionType<unknown> {
  const [first, ...rest] = types;
  if (first === undefined) throw new TypeError('oneOf needs at least one type');
  return rest.reduce<OptionType<unknown>>((left, right) => either(left, right), first);
}

/** Values of `from` are turned into values of `to` before they merge (nixpkgs types.coercedTo). */
export function coercedTo<F, T>(from: OptionType<F>, coerce: (value: F) => unknown, to: OptionType<T>): OptionType<T> {
  const coerced = (value: unknown): unknown => (from.check(value) ? coerce(value as F) : value);
  return {
    description: `${describe(to, 'noun')} or ${describe(from, 'noun')} convertible to it`,
    descriptionClass: 'conjunction',
    check: (value) => to.check(coerced(value)),
    joins: (value) => to.joins(coerced(value)),
    ...(to.emptyValue === undefined ? {} : { emptyValue: to.emptyValue }),
    merge: (scope, path, definitions) =>
      to.merge(
        scope,
        path,
        definitions.map((d) => ({ ...d, value: coerced(d.value) })),
      ),
  };
}

/** At most one definition (nixpkgs types.unique). */
export function unique<T>(message: string, element: OptionType<T>): OptionType<T> {
  return {
    ...element,
    merge: (scope, path, definitions) => {
      if (definitions.length > 1) throw conflictError(path, definitions, message);
      return element.merge(scope, path, definitions);
    },
  };
}

const shapeOf = (value: unknown): string =>
  Array.isArray(value)
    ? 'list'
    : value === null
      ? 'null'
      : isPackage(value)
        ? 'package'
        : isAttributeSet(value)
          ? 'set'
          : typeof value;

/** Any value: sets merge member by member, everything else must be equal (nixpkgs types.anything). */
export const anything: OptionType<unknown> = {
  description: 'anything',
  descriptionClass: 'noun',
  check: () => true,
  joins: (value) => Array.isArray(value) || isAttributeSet(value),
  merge: (scope, path, definitions) => {
    const shape = shapeOf(definitions[0]?.value);
    if (definitions.some((d) => shapeOf(d.value) !== shape))
      throw conflictError(path, definitions, 'definitions of different types');
    if (shape === 'set') return anythingSet.merge(scope, path, definitions);
    if (shape === 'package') return mergeOne(scope, path, definitions);
    if (shape === 'list' && definitions.length === 1 && definitions[0] !== undefined)
      return mergeList(scope, path, definitions[0]);
    return mergeEqual(scope, path, definitions);
  },
};
const anythingSet = attrsOf(anything);

/** nixpkgs types.unspecified: merges like the shape of its values. */
export const unspecified: OptionType<unknown> = { ...anything, description: 'unspecified value' };

/** References and computed values may stand in a list. */
function mergeList(scope: MergeScope, path: OptionPath, definition: Definition): unknown[] {
  const list = definition.value as readonly unknown[];
  return list.flatMap((item, i) => {
    const merged = mergeDefinitions(scope, [...path, `[${i}]`], anything, [memberOf(definition, list, i, item)]);
    return merged === undefined ? [] : [merged.value];
  });
}
