import { conflictError } from '../errors.ts';
import { isAttributeSet, isPackage } from '../markers.ts';
import type { OptionType } from '../option-type.ts';
import { attrsOf, listOf } from './collections.ts';
import { mergeEqual, mergeOne } from './merge-scalar.ts';

/**
 * Options of NixOS that no scope of ours declares: attribute sets merge, lists concatenate, scalars must be equal.
 * Real NixOS checks the types when it builds the host.
 */
export const freeform: OptionType<unknown> = {
  description: 'any value',
  descriptionClass: 'noun',
  check: () => true,
  joins: (value) => Array.isArray(value) || isAttributeSet(value),
  merge: (scope, path, definitions) => {
    const all = (test: (value: unknown) => boolean): boolean => definitions.every((d) => test(d.value));
    if (all(isAttributeSet)) return freeformSet.merge(scope, path, definitions);
    if (all(Array.isArray)) return freeformList.merge(scope, path, definitions);
    if (all(isPackage)) return mergeOne(scope, path, definitions);
    if (definitions.length > 1 && definitions.some((d) => Array.isArray(d.value) || isAttributeSet(d.value)))
      throw conflictError(path, definitions, 'definitions of different types');
    return mergeEqual(scope, path, definitions);
  },
};
const freeformSet = attrsOf(freeform);
const freeformList = listOf(freeform);
