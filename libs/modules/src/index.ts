export type { Config } from './config.ts';
export { describePlace, type ExplainedDefinition, type Origin, type Position } from './definition.ts';
export { EvaluationError, RefusedValue, refuse, showValue } from './errors.ts';
export { type Evaluation, type Explanation, evaluateModules } from './evaluate.ts';
export { forceValue } from './lazy-record.ts';
export {
  type Condition,
  inPackage,
  isAttributeSet,
  isPackage,
  isPlainObject,
  mkAfter,
  mkBefore,
  mkDefault,
  mkForce,
  mkIf,
  mkMerge,
  mkOrder,
  mkOverride,
  type Package,
  type PlainObject,
  pkg,
  priorities,
  type Thunk,
} from './markers.ts';
export type { Module } from './module.ts';
export { didYouMean } from './nearest.ts';
export { declareOption, type Option } from './option.ts';
export { formatPath, type OptionPath, parsePath } from './option-path.ts';
export { type OptionNode, optionsOf } from './option-tree.ts';
export type { OptionType } from './option-type.ts';
export { attrs, attrsOf, lazyAttrsOf, listOf, nonEmptyListOf } from './types/collections.ts';
export { anything, coercedTo, either, nullOr, oneOf, unique, unspecified } from './types/composites.ts';
export { freeform } from './types/freeform.ts';
export {
  bool,
  commas,
  enumOf,
  float,
  int,
  intBetween,
  lines,
  path,
  pkgType,
  port,
  positiveInt,
  raw,
  separatedString,
  str,
  strMatching,
  unsignedInt,
} from './types/scalars.ts';
export { isSubmodule, type Submodule, submodule } from './types/submodule.ts';
