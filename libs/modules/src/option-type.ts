import type { Definition } from './definition.ts';
import type { MergeScope } from './merge.ts';
import type { OptionPath } from './option-path.ts';

/** How a description stands inside another: `list of string`, but `list of (null or string)` (nixpkgs lib/types.nix). */
export type DescriptionClass = 'noun' | 'conjunction' | 'composite' | 'bare';

/** The type of an option: what values it takes and how definitions of the same priority become one value. */
export interface OptionType<T> {
  /** In nixpkgs' words: `null or string`. */
  readonly description: string;
  readonly descriptionClass: DescriptionClass;
  /** Shallow: members are checked when they are merged, so that laziness holds. */
  readonly check: (value: unknown) => boolean;
  /** True when definitions of such a value join (lists, lines, attribute sets): layer bands do not apply to them. */
  readonly joins: (value: unknown) => boolean;
  /** `definitions` are of one priority, in order, at least one, and all pass `check`. */
  readonly merge: (scope: MergeScope, path: OptionPath, definitions: readonly Definition[]) => T;
  /** Value of an element all of whose definitions vanish. */
  readonly emptyValue?: { readonly value: T };
  /** Words for a person who wrote a value of another type. */
  readonly hint?: (value: unknown) => string | undefined;
}

/** `description`, in parentheses unless its class is one of those. */
export const describe = (type: OptionType<unknown>, ...bare: readonly DescriptionClass[]): string =>
  bare.includes(type.descriptionClass) ? type.description : `(${type.description})`;
