import type { Thunk } from './markers.ts';
import { type OptionPath, parsePath } from './option-path.ts';
import type { OptionType } from './option-type.ts';

/** A declared option. The constant is the handle that scopes read it by, so reads are typed. */
export interface Option<T = unknown> {
  readonly path: OptionPath;
  /** The path as text; unique among the options of a host. */
  readonly key: string;
  readonly type: OptionType<T>;
  readonly description: string;
  /** Absent: reading the option without a definition is an error. A function computes it from other options. */
  readonly default?: T | Thunk<T>;
  /** The default in words, where it is computed. */
  readonly defaultText?: string;
  readonly example?: unknown;
  readonly internal: boolean;
  readonly readOnly: boolean;
  /** Without a definition the value is undefined, and the option is absent: options of NixOS that only NixOS fills. */
  readonly optional: boolean;
  /** Turns the merged value into the final one. */
  apply?(value: T): T;
}

export interface OptionDetails<T> {
  readonly description: string;
  readonly default?: T | Thunk<T>;
  readonly defaultText?: string;
  readonly example?: unknown;
  readonly internal?: boolean;
  readonly readOnly?: boolean;
  readonly optional?: boolean;
  apply?(value: T): T;
}

/** Declares an option at a path as Nix writes it. A path that does not parse is a mistake of the author: TypeError. */
export function declareOption<T>(path: string, type: OptionType<T>, details: OptionDetails<T>): Option<T> {
  const parsed = parsePath(path);
  if (parsed === undefined) throw new TypeError(`not an option path: ${path}`);
  return { internal: false, readOnly: false, optional: false, ...details, path: parsed, key: path, type };
}
