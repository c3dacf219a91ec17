import { didYouMean, type Position, showValue } from '@nixfleet/modules';
import type { Diagnostic } from '@nixfleet/schema';
import type { Static, TSchema } from 'typebox';
import { Value } from 'typebox/value';
import type { YamlFile } from './yaml-file.ts';

const maxDiagnosticsPerFile = 50;

const decodePointer = (pointer: string): string[] =>
  pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));

/** The value at a JSON pointer, and where it stands. */
function find(file: YamlFile, parts: readonly string[]): { value: unknown; position: Position | undefined } {
  let value = file.value;
  let position: Position | undefined = { line: 1, column: 1 };
  for (const part of parts) {
    if (typeof value !== 'object' || value === null) break;
    const member = Array.isArray(value) ? Number(part) : part;
    position = file.locate(value, member) ?? position;
    value = (value as Record<string | number, unknown>)[member];
  }
  return { value, position };
}

/** What of a JSON Schema is read here. */
interface SchemaNode {
  readonly description?: string;
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly SchemaNode[];
  readonly items?: SchemaNode;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>;
}

/** Follows properties, items and records of a schema down to where a pointer leads. */
function schemaAt(schema: TSchema, parts: readonly string[]): SchemaNode | undefined {
  let at: SchemaNode | undefined = schema;
  for (const part of parts) at = at?.properties?.[part] ?? at?.items ?? Object.values(at?.patternProperties ?? {})[0];
  return at;
}

/** What a schema takes, in words. */
function describeSchema(schema: SchemaNode | undefined): string | undefined {
  if (schema === undefined) return undefined;
  if (schema.enum !== undefined) return `one of ${schema.enum.join(', ')}`;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf !== undefined) return schema.anyOf.map((part) => describeSchema(part) ?? '?').join(' or ');
  return schema.description ?? schema.type;
}

interface Problem {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: Record<string, unknown>;
}

function* toDiagnostics(file: YamlFile, schema: TSchema, problem: Problem): Generator<Diagnostic> {
  const parts = decodePointer(problem.instancePath);
  const where = parts.join('.');
  const base = { severity: 'error', file: file.path, ...(where === '' ? {} : { optionPath: where }) } as const;
  if (problem.keyword === 'additionalProperties') {
    const known = Object.keys(schemaAt(schema, parts)?.properties ?? {});
    for (const name of (problem.params['additionalProperties'] as string[] | undefined) ?? []) {
      const hint = didYouMean(name, known) ?? `Known here: ${known.join(', ')}.`;
      const { position } = find(file, [...parts, name]);
      yield {
        ...base,
        ...position,
        optionPath: [...parts, name].join('.'),
        message: 'unknown key',
        expected: known.join(', '),
        found: name,
        hint,
      };
    }
    return;
  }
  // What `additionalProperties` already told.
  if (problem.keyword === 'boolean') return;
  const { value, position } = find(file, parts);
  if (problem.keyword === 'required') {
    for (const name of (problem.params['requiredProperties'] as string[] | undefined) ?? []) {
      const expected = describeSchema(schemaAt(schema, [...parts, name]));
      yield {
        ...base,
        ...position,
        optionPath: [...parts, name].join('.'),
        message: 'missing key',
        ...(expected === undefined ? {} : { expected }),
        found: 'nothing',
      };
    }
    return;
  }
  const expected = describeSchema(schemaAt(schema, parts)) ?? problem.message;
  yield { ...base, ...position, message: 'wrong value', expected, found: showValue(value) };
}

/** Checks a file against its schema. Keywords that only group others (anyOf) are told once. */
export function checkFile<Schema extends TSchema>(
  file: YamlFile,
  schema: Schema,
): { value?: Static<Schema>; diagnostics: Diagnostic[] } {
  if (Value.Check(schema, file.value)) return { value: file.value, diagnostics: [] };
  const diagnostics: Diagnostic[] = [];
  const told = new Set<string>();
  for (const problem of Value.Errors(schema, file.value) as Iterable<Problem>) {
    for (const diagnostic of toDiagnostics(file, schema, problem)) {
      const place = `${diagnostic.optionPath ?? ''} ${diagnostic.message}`;
      if (told.has(place) || diagnostics.length >= maxDiagnosticsPerFile) continue;
      told.add(place);
      diagnostics.push(diagnostic);
    }
  }
  return { diagnostics };
}
