import { asMarker, isPackage, type Package } from '../markers.ts';
import type { DescriptionClass, OptionType } from '../option-type.ts';
import { mergeEqual, mergeOne } from './merge-scalar.ts';

const never = (): boolean => false;
const always = (): boolean => true;

interface ScalarDetails {
  readonly description: string;
  readonly descriptionClass?: DescriptionClass;
  readonly check: (value: unknown) => boolean;
  readonly hint?: (value: unknown) => string | undefined;
}

const scalar = <T>(details: ScalarDetails): OptionType<T> => ({
  descriptionClass: 'noun',
  joins: never,
  merge: mergeEqual<T>,
  ...details,
});

const isText = (value: unknown): value is string => typeof value === 'string';
const isInteger = (value: unknown): value is number => Number.isSafeInteger(value);

const boolHint = (value: unknown): string | undefined =>
  typeof value === 'string' && /^(yes|no|on|off|true|false)$/i.test(value)
    ? 'Write true or false, without quotes.'
    : undefined;
const intHint = (value: unknown): string | undefined =>
  typeof value === 'string' && /^-?\d+$/.test(value) ? 'Write the number without quotes.' : undefined;
const textHint = (value: unknown): string | undefined =>
  typeof value === 'number' || typeof value === 'boolean' ? `Write it in quotes: "${value}".` : undefined;

export const bool: OptionType<boolean> = scalar({
  description: 'boolean',
  check: (v) => typeof v === 'boolean',
  hint: boolHint,
});
export const str: OptionType<string> = scalar({ description: 'string', check: isText, hint: textHint });
export const int: OptionType<number> = scalar({ description: 'signed integer', check: isInteger, hint: intHint });
export const float: OptionType<number> = scalar({
  description: 'floating point number',
  check: (v) => typeof v === 'number' && Number.isFinite(v),
});
export const path: OptionType<string> = scalar({
  description: 'absolute path',
  check: (v) => isText(v) && v.startsWith('/'),
  hint: (v) => (isText(v) ? 'Begin it with a slash.' : undefined),
});

/** Two definitions of a package never merge, even of the same one (nixpkgs types.package). */
export const pkgType: OptionType<Package> = {
  ...scalar<Package>({
    description: 'package',
    check: isPackage,
    hint: (v) => (isText(v) ? `Name a package: !pkg ${v.split('/').at(-1)}` : undefined),
  }),
  merge: mergeOne<Package>,
};

/** Integers from `lowest` to `highest`, both included. */
export const intBetween = (lowest: number, highest: number): OptionType<number> =>
  scalar({
    description: `integer between ${lowest} and ${highest} (both inclusive)`,
    check: (v) => isInteger(v) && v >= lowest && v <= highest,
    hint: intHint,
  });
export const positiveInt: OptionType<number> = scalar({
  description: 'positive integer, meaning >0',
  check: (v) => isInteger(v) && v > 0,
  hint: intHint,
});
export const unsignedInt: OptionType<number> = scalar({
  description: 'unsigned integer, meaning >=0',
  check: (v) => isInteger(v) && v >= 0,
  hint: intHint,
});
export const port: OptionType<number> = scalar({
  description: '16 bit unsigned integer; between 0 and 65535 (both inclusive)',
  check: (v) => isInteger(v) && v >= 0 && v <= 65_535,
  hint: intHint,
});

/** Texts that the whole of `pattern` matches (POSIX extended in Nix; keep to what both dialects share). */
export function strMatching(pattern: string): OptionType<string> {
  const whole = new RegExp(`^(?:${pattern})$`, 'u');
  return scalar({
    description: `string matching the pattern ${pattern}`,
    check: (v) => isText(v) && whole.test(v),
    hint: textHint,
  });
}

const showChoice = (value: unknown): string => (typeof value === 'string' ? JSON.stringify(value) : String(value));

export function enumOf<const T extends string | number | boolean | null>(values: readonly T[]): OptionType<T> {
  const shown = values.map(showChoice);
  return scalar({
    description:
      values.length === 0
        ? 'impossible (empty enum)'
        : values.length === 1
          ? `value ${shown[0]} (singular enum)`
          : `one of ${shown.join(', ')}`,
    descriptionClass: values.length < 2 ? 'noun' : 'conjunction',
    check: (v) => (values as readonly unknown[]).includes(v),
  });
}

/** Texts of all definitions, joined (nixpkgs types.separatedString). */
function separated(separator: string, description: string): OptionType<string> {
  return {
    ...scalar<string>({ description, check: isText, hint: textHint }),
    joins: always,
    merge: (_scope, _path, definitions) => definitions.map((d) => d.value as string).join(separator),
  };
}
export const lines: OptionType<string> = separated('\n', 'strings concatenated with "\\n"');
export const commas: OptionType<string> = separated(',', 'strings concatenated with ","');
export const separatedString = (separator: string): OptionType<string> =>
  separated(separator, `strings concatenated with ${JSON.stringify(separator)}`);

/** Any value, one definition or equal ones; what stands in it is not looked into (nixpkgs types.raw). */
export const raw: OptionType<unknown> = {
  ...scalar<unknown>({ description: 'raw value', check: (v) => asMarker(v) === undefined }),
  merge: mergeOne,
};
