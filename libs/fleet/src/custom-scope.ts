import { declareOption, type Option, type OptionType, type Position, parsePath, showValue } from '@nixfleet/modules';
import type { Diagnostic, ScopeDefinition } from '@nixfleet/schema';
import type { Scope } from '@nixfleet/scopes';
import { parseTypeExpression, typeExpressionHelp } from './type-expression.ts';
import type { YamlFile } from './yaml-file.ts';

/** Paths that belong to NixFleet and NixOS: a fleet's own options live beside them. */
const reserved = new Set(['nixfleet', 'hostSpec', 'services', 'networking', 'systemd', 'environment', 'users', 'nix']);

/** Makes a scope of a checked `scopes/*.yaml`; what is wrong in it comes back as diagnostics. */
export function makeCustomScope(
  file: YamlFile,
  definition: ScopeDefinition,
): { scope?: Scope; diagnostics: Diagnostic[] } {
  const diagnostics: Diagnostic[] = [];
  const options: Option[] = [];
  for (const [key, details] of Object.entries(definition.options)) {
    const at = (member: string): Position | undefined =>
      file.locate(details, member) ?? file.locate(definition.options, key);
    const report = (member: string, more: Partial<Diagnostic> & { message: string }): void => {
      diagnostics.push({ severity: 'error', file: file.path, ...at(member), optionPath: key, ...more });
    };
    const path = parsePath(key);
    if (path === undefined || path.length < 2 || reserved.has(path[0] ?? '')) {
      report('', {
        message: 'a scope of a fleet declares options below a name of its own',
        expected: `a path such as ${definition.scope}.enable`,
        found: key,
      });
      continue;
    }
    let type: OptionType<unknown>;
    try {
      type = parseTypeExpression(details.type);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      report('type', { message: error.message, expected: typeExpressionHelp, found: details.type });
      continue;
    }
    const hasDefault = 'default' in details;
    if (hasDefault && !type.check(details.default)) {
      report('default', {
        message: 'the default is not of the type',
        expected: type.description,
        found: showValue(details.default),
      });
      continue;
    }
    options.push(
      declareOption(key, type, {
        description: details.description ?? '',
        ...(hasDefault ? { default: details.default } : {}),
        ...(details.example === undefined ? {} : { example: details.example }),
      }),
    );
  }
  if (diagnostics.length > 0) return { diagnostics };
  const { settings, when } = definition;
  const config =
    settings === undefined || when === undefined
      ? settings
      : { _type: 'if', condition: { _type: 'ref', path: when.split('.') }, content: settings };
  return {
    diagnostics,
    scope: {
      name: definition.scope,
      description: definition.description,
      platforms: ['nixos', 'darwin'],
      module: {
        key: `scope ${definition.scope}`,
        origin: { label: `scope ${definition.scope}`, file: file.path, locate: file.locate },
        options,
        ...(config === undefined ? {} : { config }),
      },
    },
  };
}
