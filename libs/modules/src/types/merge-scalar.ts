import type { Definition } from '../definition.ts';
import { conflictError } from '../errors.ts';
import type { MergeScope } from '../merge.ts';
import type { OptionPath } from '../option-path.ts';

/** Structural equality of plain values, as Nix compares them. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every(
    (key) =>
      Object.hasOwn(b, key) && sameValue((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]),
  );
}

/** nixpkgs mergeEqualOption: all definitions say the same. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- stands for the option's type
export function mergeEqual<T>(_scope: MergeScope, path: OptionPath, definitions: readonly Definition[]): T {
  const first = definitions[0]?.value;
  for (const definition of definitions)
    if (!sameValue(first, definition.value)) throw conflictError(path, definitions, 'conflicting definitions');
  return first as T;
}

/** nixpkgs mergeOneOption: one definition only, even where a second one says the same. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as above
export function mergeOne<T>(_scope: MergeScope, path: OptionPath, definitions: readonly Definition[]): T {
  if (definitions.length > 1) throw conflictError(path, definitions, 'defined more than once, expected to be unique');
  return definitions[0]?.value as T;
}
