import { isPackage, isSubmodule, type Option, type OptionNode, type OptionType, optionsOf } from '@nixfleet/modules';
import { FleetDefinition, HostDefinition, ScopeDefinition } from '@nixfleet/schema';
import { evaluateHost, scopeNames } from '@nixfleet/scopes';

type JsonSchema = Readonly<Record<string, unknown>>;

const bases: readonly (readonly [RegExp, JsonSchema])[] = [
  [/^boolean$/, { type: 'boolean' }],
  [/integer/, { type: 'integer' }],
  [/^floating/, { type: 'number' }],
  [/^(string|absolute path|strings concatenated)/, { type: 'string' }],
];

/**
 * What editors complete and check. It is looser than the module system where a modifier may stand (`!if`, `!ref`):
 * the truth is `nixfleet validate`.
 */
function typeSchema(type: OptionType<unknown>): JsonSchema {
  if (isSubmodule(type)) return treeSchema(type.tree);
  const { description } = type;
  const choices = /^(?:null or )?(?:one of|value) (.*?)(?: \(singular enum\))?$/.exec(description)?.[1];
  if (choices !== undefined) {
    const values = [...choices.matchAll(/"(?:[^"\\]|\\.)*"|[^,\s]+/g)].map((m) => JSON.parse(m[0]) as unknown);
    return { enum: description.startsWith('null or') ? [null, ...values] : values };
  }
  if (description.startsWith('list of')) return { type: 'array' };
  if (description.startsWith('attribute set of')) return { type: 'object' };
  const nullable = description.startsWith('null or ');
  const name = nullable ? description.slice('null or '.length) : description;
  const base = bases.find(([pattern]) => pattern.test(name))?.[1];
  if (base === undefined) return {};
  return nullable ? { type: [base['type'], 'null'] } : base;
}

function optionSchema(option: Option): JsonSchema {
  const fallback = typeof option.default === 'function' ? option.defaultText : option.default;
  const text = fallback === undefined ? '' : `\n\nDefault: ${JSON.stringify(fallback)}`;
  return { ...typeSchema(option.type), description: `${option.description} (${option.type.description})${text}` };
}

function treeSchema(node: OptionNode): JsonSchema {
  const properties = Object.fromEntries(
    [...node.children]
      .filter(([, child]) => child.option?.internal !== true)
      .map(([name, child]) => [name, child.option === undefined ? treeSchema(child) : optionSchema(child.option)]),
  );
  // Below the roots of NixOS more is allowed than is declared here.
  const open = node.freeform !== undefined || node.key === '';
  return { type: 'object', properties, ...(open ? {} : { additionalProperties: false }) };
}

/** Every option of every NixOS scope; those of macOS are among them. */
const settingsTree = (): OptionNode =>
  evaluateHost({
    hostName: 'host',
    system: 'x86_64-linux',
    roles: [],
    scopes: scopeNames('nixos', []),
    extraScopes: [],
    hostSpec: [],
    layers: [],
  }).tree;

function settingsSchemas(): { settings: JsonSchema; hostSpec: JsonSchema } {
  const tree = settingsTree();
  const hostSpec = tree.children.get('hostSpec');
  return { settings: treeSchema(tree), hostSpec: hostSpec === undefined ? {} : treeSchema(hostSpec) };
}

/** One option for documentation; submodules' options stand below `<name>` or `*`. */
export interface ReferenceOption {
  readonly path: string;
  readonly type: string;
  /** As Nix would print it, or in words; empty when there is none. */
  readonly default: string;
  readonly description: string;
}

const defaultText = (option: Option): string => {
  if (option.defaultText !== undefined) return option.defaultText;
  if (!('default' in option) || typeof option.default === 'function') return '';
  return isPackage(option.default) ? `pkgs.${option.default.name}` : JSON.stringify(option.default);
};

/** Every option that scopes of ours declare, by path. */
export function optionReference(): readonly ReferenceOption[] {
  return [...optionsOf(settingsTree())]
    .filter((option) => !option.internal && !option.optional)
    .map((option) => ({
      path: option.key,
      type: option.type.description,
      default: defaultText(option),
      description: option.description,
    }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Puts the schemas of option values where a definition has `settings` and `hostSpec`. */
function withSettings(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withSettings);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]): [string, unknown] => {
      if ((key === 'settings' || key === 'hostSpec') && typeof member === 'object')
        return [key, { $ref: `#/$defs/${key}` }];
      return [key, withSettings(member)];
    }),
  );
}

/** JSON Schemas of the files of a fleet directory: `fleet`, `host` and `scope`. */
export function editorSchemas(): Readonly<Record<'fleet' | 'host' | 'scope', JsonSchema>> {
  const definitions = settingsSchemas();
  const make = (schema: unknown): JsonSchema => ({
    $schema: 'http://json-schema.org/draft-07/schema#',
    ...(withSettings(JSON.parse(JSON.stringify(schema))) as JsonSchema),
    $defs: definitions,
  });
  return { fleet: make(FleetDefinition), host: make(HostDefinition), scope: make(ScopeDefinition) };
}
