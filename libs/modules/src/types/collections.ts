import { type Definition, memberOf, type RawDefinition } from '../definition.ts';
import { EvaluationError, placeOf } from '../errors.ts';
import { lazyRecord } from '../lazy-record.ts';
import { isAttributeSet, type PlainObject } from '../markers.ts';
import { type Merged, type MergeScope, mergeDefinitions } from '../merge.ts';
import { formatPath, type OptionPath } from '../option-path.ts';
import { describe, type OptionType } from '../option-type.ts';

const always = (): boolean => true;

/** Elements of all definitions one after the other; an element whose condition fails is left out. */
export function listOf<T>(element: OptionType<T>): OptionType<readonly T[]> {
  return {
    description: `list of ${describe(element, 'noun', 'composite')}`,
    descriptionClass: 'composite',
    check: Array.isArray,
    joins: always,
    emptyValue: { value: [] },
    hint: (value) => (element.check(value) ? 'Write it as a list of one: [value].' : undefined),
    merge: (scope, path, definitions) => {
      const items: T[] = [];
      for (const definition of definitions) {
        const list = definition.value as readonly unknown[];
        for (let i = 0; i < list.length; i++) {
          const merged = mergeDefinitions(scope, [...path, `[${i}]`], element, [
            memberOf(definition, list, i, list[i]),
          ]);
          if (merged !== undefined) items.push(merged.value);
        }
      }
      return items;
    },
  };
}

export function nonEmptyListOf<T>(element: OptionType<T>): OptionType<readonly T[]> {
  const { emptyValue: _none, ...list } = listOf(element);
  return {
    ...list,
    description: `non-empty ${list.description}`,
    check: (value) => Array.isArray(value) && value.length > 0,
  };
}

/** Definitions of each attribute, in the order of the definitions that hold them. */
export function membersByName(definitions: readonly Definition[]): ReadonlyMap<string, RawDefinition[]> {
  const members = new Map<string, RawDefinition[]>();
  for (const definition of definitions) {
    const set = definition.value as PlainObject;
    for (const name of Object.keys(set)) {
      // Members of evaluated sets are getters: reading them only on demand keeps sets lazy.
      const isLazy = 'get' in (Object.getOwnPropertyDescriptor(set, name) ?? {});
      const member = memberOf(definition, set, name, isLazy ? () => set[name] : set[name]);
      const found = members.get(name);
      if (found === undefined) members.set(name, [member]);
      else found.push(member);
    }
  }
  return members;
}

function elementMissing(path: OptionPath, members: readonly RawDefinition[]): EvaluationError {
  return new EvaluationError('missing', {
    ...(members[0] === undefined ? {} : placeOf(members[0])),
    optionPath: formatPath(path),
    message: 'read, but none of its definitions applies',
  });
}

/** Attribute sets whose members are merged one by one; a member all of whose conditions fail is absent. */
export function attrsOf<T>(element: OptionType<T>): OptionType<Readonly<Record<string, T>>> {
  return {
    description: `attribute set of ${describe(element, 'noun', 'composite')}`,
    descriptionClass: 'composite',
    check: isAttributeSet,
    joins: always,
    emptyValue: { value: {} },
    merge: (scope, path, definitions) => {
      const members = membersByName(definitions);
      const merged = new Map<string, Merged<T>>();
      for (const [name, raws] of members) {
        if (!raws.some((raw) => mayHold(scope, path, raw))) continue;
        const slot = once(() => mergeDefinitions(scope, [...path, name], element, raws));
        merged.set(name, {
          get value(): T {
            const result = slot();
            if (result === undefined) throw elementMissing([...path, name], raws);
            return result.value;
          },
          get definitions() {
            return slot()?.definitions ?? [];
          },
        });
      }
      return lazyRecord(merged);
    },
  };
}

/** Like {@link attrsOf}, but a member's existence never depends on conditions: it is `emptyValue` where they fail. */
export function lazyAttrsOf<T>(element: OptionType<T>): OptionType<Readonly<Record<string, T>>> {
  return {
    ...attrsOf(element),
    description: `lazy attribute set of ${describe(element, 'noun', 'composite')}`,
    merge: (scope, path, definitions) => {
      const merged = new Map<string, Merged<T>>();
      for (const [name, raws] of membersByName(definitions)) {
        const slot = once(() => mergeDefinitions(scope, [...path, name], element, raws));
        merged.set(name, {
          get value(): T {
            const value = slot()?.value ?? element.emptyValue?.value;
            if (value === undefined) throw elementMissing([...path, name], raws);
            return value;
          },
          get definitions() {
            return slot()?.definitions ?? [];
          },
        });
      }
      return lazyRecord(merged);
    },
  };
}

/** Whole sets, the later definition's attributes over the earlier one's (nixpkgs types.attrs). */
export const attrs: OptionType<PlainObject> = {
  description: 'attribute set',
  descriptionClass: 'bare',
  check: isAttributeSet,
  joins: always,
  emptyValue: { value: {} },
  merge: (_scope, _path, definitions) => Object.assign({}, ...definitions.map((d) => d.value)) as PlainObject,
};

/** Whether an element exists: looks through conditions, never into the values behind them. */
export function mayHold(scope: MergeScope, path: OptionPath, raw: RawDefinition): boolean {
  const visit = (value: unknown): boolean => {
    if (typeof value !== 'object' || value === null) return true;
    const marker = value as { _type?: unknown; condition?: unknown; content?: unknown; contents?: unknown };
    switch (marker._type) {
      case 'if':
        return scope.holds(marker.condition, raw, path) && visit(marker.content);
      case 'merge':
        return Array.isArray(marker.contents) && marker.contents.some(visit);
      case 'override':
      case 'order':
        return visit(marker.content);
      default:
        return true;
    }
  };
  return (raw.conditions ?? []).every((condition) => scope.holds(condition, raw, path)) && visit(raw.value);
}

/** Remembers the first result, or the first error: the same object is thrown again. */
export function once<T>(compute: () => T): () => T {
  let state: { value: T } | { error: unknown } | undefined;
  return () => {
    if (state === undefined) {
      try {
        state = { value: compute() };
      } catch (error) {
        state = { error };
      }
    }
    if ('error' in state) throw state.error;
    return state.value;
  };
}
