import type { Definition } from './definition.ts';
import type { Merged } from './merge.ts';

/** Lets `explain` look into values: the definitions behind a member of an evaluated attribute set. */
export interface Explainable {
  definitionsOf(rest: readonly string[]): readonly Definition[] | undefined;
}

const explainables = new WeakMap<object, Explainable>();

export const explainableOf = (value: unknown): Explainable | undefined =>
  typeof value === 'object' && value !== null ? explainables.get(value) : undefined;

export const setExplainable = (value: object, explainable: Explainable): void => {
  explainables.set(value, explainable);
};

/**
 * An attribute set whose members are evaluated when they are read, in the order of their names. Reading a member
 * whose evaluation fails throws, each time the same error.
 */
export function lazyRecord<T>(members: ReadonlyMap<string, Merged<T>>): Readonly<Record<string, T>> {
  const record: Record<string, T> = {};
  for (const name of [...members.keys()].sort()) {
    const member = members.get(name) as Merged<T>;
    Object.defineProperty(record, name, { enumerable: true, configurable: true, get: () => member.value });
  }
  setExplainable(record, {
    definitionsOf: ([name, ...rest]) => {
      const member = name === undefined ? undefined : members.get(name);
      if (member === undefined) return undefined;
      return rest.length === 0 ? member.definitions : explainableOf(member.value)?.definitionsOf(rest);
    },
  });
  return record;
}

/**
 * Evaluates a value completely into plain data. `onError` decides about members that fail: it throws, or the member
 * is left out. Computed values that give undefined are left out.
 */
export function forceValue(value: unknown, onError: (error: unknown) => void): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => forceValue(item, onError));
  const plain: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    let member: unknown;
    try {
      member = forceValue((value as Record<string, unknown>)[key], onError);
    } catch (error) {
      onError(error);
      continue;
    }
    if (member !== undefined) plain[key] = member;
  }
  return plain;
}
