import type { Config } from './config.ts';
import type { Option } from './option.ts';

/**
 * Modifiers of a definition in Nix's own wire form, so that `nix eval --json` of a plain attribute set carries them:
 * `override` (mkForce 50, mkDefault 1000), `order` (mkBefore 500, mkAfter 1500), `if` and `merge` as nixpkgs
 * lib/modules.nix builds them; `ref`, `pkg` and `format` are ours.
 */
export interface OverrideMarker {
  readonly _type: 'override';
  readonly priority: number;
  readonly content: unknown;
}
export interface OrderMarker {
  readonly _type: 'order';
  readonly priority: number;
  readonly content: unknown;
}
export interface IfMarker {
  readonly _type: 'if';
  readonly condition: unknown;
  readonly content: unknown;
}
export interface MergeMarker {
  readonly _type: 'merge';
  readonly contents: readonly unknown[];
}
/** The final value of another option. */
export interface RefMarker {
  readonly _type: 'ref';
  readonly path: readonly string[];
}
/** Text with `${option.path}` in it; `$${` is a literal `${`. */
export interface FormatMarker {
  readonly _type: 'format';
  readonly template: string;
}
/** A package by its attribute path below `pkgs`; an ordinary value, not a modifier. */
export interface Package {
  readonly _type: 'pkg';
  readonly name: string;
}
export type Marker = OverrideMarker | OrderMarker | IfMarker | MergeMarker | RefMarker | FormatMarker;

/** A value that is computed from the configuration when something asks for it. Only code carries these, never data. */
export type Thunk<T = unknown> = (config: Config) => T;
/** When a part of a module applies. */
export type Condition = boolean | Thunk<boolean> | Option<boolean>;

/** Priorities of nixpkgs lib/modules.nix; lower wins. */
export const priorities = { force: 50, normal: 100, default: 1000, optionDefault: 1500 } as const;
/** Orders of nixpkgs lib/modules.nix; lower comes first. */
export const orders = { before: 500, normal: 1000, after: 1500 } as const;

export const mkOverride = (priority: number, content: unknown): OverrideMarker => ({
  _type: 'override',
  priority,
  content,
});
export const mkForce = (content: unknown): OverrideMarker => mkOverride(priorities.force, content);
export const mkDefault = (content: unknown): OverrideMarker => mkOverride(priorities.default, content);
export const mkOrder = (priority: number, content: unknown): OrderMarker => ({ _type: 'order', priority, content });
export const mkBefore = (content: unknown): OrderMarker => mkOrder(orders.before, content);
export const mkAfter = (content: unknown): OrderMarker => mkOrder(orders.after, content);
export const mkIf = (condition: Condition, content: unknown): IfMarker => ({ _type: 'if', condition, content });
export const mkMerge = (contents: readonly unknown[]): MergeMarker => ({ _type: 'merge', contents });
export const pkg = (name: string): Package => ({ _type: 'pkg', name });

/** A path inside a package as text, `/nix/store/<name>/bin/curl`: emitters turn it into an antiquotation. */
export const inPackage = (name: string, path: string): string => `/nix/store/${name}/${path}`;

export type PlainObject = Readonly<Record<string, unknown>>;

export const isPlainObject = (value: unknown): value is PlainObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The `_type` of a value, if it is a text. */
export function typeTagOf(value: unknown): string | undefined {
  if (!isPlainObject(value)) return undefined;
  const tag = value['_type'];
  return typeof tag === 'string' ? tag : undefined;
}

export const isPackage = (value: unknown): value is Package =>
  typeTagOf(value) === 'pkg' && typeof (value as { name?: unknown }).name === 'string';

/** True for an attribute set as authors write it: neither a package nor a modifier. */
export const isAttributeSet = (value: unknown): value is PlainObject => {
  if (!isPlainObject(value)) return false;
  const tag = value['_type'];
  return typeof tag !== 'string' || !valueTags.has(tag);
};

const valueTags: ReadonlySet<string> = new Set(['override', 'order', 'if', 'merge', 'ref', 'format', 'pkg', 'module']);

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);

/** The value as a modifier, or undefined. Throws `malformed` with what is wrong for a broken one. */
export function asMarker(value: unknown): Marker | { readonly malformed: string } | undefined {
  if (!isPlainObject(value)) return undefined;
  switch (value['_type']) {
    case 'override':
    case 'order':
      return isNumber(value['priority']) && 'content' in value
        ? (value as unknown as OverrideMarker | OrderMarker)
        : { malformed: `"${value['_type']}" needs a number "priority" and a "content"` };
    case 'if':
      return 'condition' in value && 'content' in value
        ? (value as unknown as IfMarker)
        : { malformed: '"if" needs a "condition" and a "content"' };
    case 'merge':
      return Array.isArray(value['contents'])
        ? (value as unknown as MergeMarker)
        : { malformed: '"merge" needs a list "contents"' };
    case 'ref':
      return Array.isArray(value['path']) && value['path'].every((part) => typeof part === 'string')
        ? (value as unknown as RefMarker)
        : { malformed: '"ref" needs a list of names "path"' };
    case 'format':
      return typeof value['template'] === 'string'
        ? (value as unknown as FormatMarker)
        : { malformed: '"format" needs a text "template"' };
    default:
      return undefined;
  }
}
