import type { Position } from '@nixfleet/modules';
import type { Diagnostic } from '@nixfleet/schema';
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  Scalar,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';

/** A file of the fleet as data, with the place of each member. */
export interface YamlFile {
  readonly path: string;
  readonly value: unknown;
  /** Where a member of a list or attribute set of this file stands. */
  readonly locate: (container: object, member: string | number) => Position | undefined;
}

/** Nodes of one file after its aliases are followed: bounds what a small file can grow to. */
const maxNodes = 200_000;
const maxDepth = 100;

/** A mistake in a file, thrown inside the reader. */
class Mistake extends Error {
  readonly node: Node | undefined;
  readonly details: Partial<Diagnostic>;

  constructor(node: Node | undefined, message: string, details: Partial<Diagnostic> = {}) {
    super(message);
    this.node = node;
    this.details = details;
  }
}

class Reader {
  readonly #doc: Document;
  readonly #lines: LineCounter;
  readonly #places = new WeakMap<object, Map<string | number, Position>>();
  #nodes = 0;

  constructor(doc: Document, lines: LineCounter) {
    this.#doc = doc;
    this.#lines = lines;
  }

  locate(container: object, member: string | number): Position | undefined {
    return this.#places.get(container)?.get(member);
  }

  positionOf(node: Node | undefined): Position | undefined {
    const offset = node?.range?.[0];
    if (offset === undefined) return undefined;
    const { line, col } = this.#lines.linePos(offset);
    return { line, column: col };
  }

  read(node: Node | null, depth = 0): unknown {
    if (node === null) return null;
    this.#nodes += 1;
    if (this.#nodes > maxNodes) throw new Mistake(node, `the file has more than ${maxNodes} values`);
    if (depth > maxDepth) throw new Mistake(node, `values are nested more than ${maxDepth} deep`);
    if (isAlias(node)) {
      const target = node.resolve(this.#doc);
      if (target === undefined) throw new Mistake(node, `there is no anchor &${node.source}`);
      return this.read(target, depth + 1);
    }
    const tag = customTagOf(node);
    if (tag !== undefined) return this.#readTagged(tag, node, depth);
    return this.#readPlain(node, depth);
  }

  #readPlain(node: Node, depth: number): unknown {
    if (isMap(node)) return this.#readMap(node, depth);
    if (isSeq(node)) return this.#readList(node, depth);
    if (isScalar(node)) return scalarValue(node);
    throw new Mistake(node, 'this is no YAML value');
  }

  #readMap(map: YAMLMap, depth: number): Record<string, unknown> {
    const value: Record<string, unknown> = {};
    const places = new Map<string | number, Position>();
    for (const pair of map.items as Pair<Node, Node | null>[]) {
      const key = isScalar(pair.key) ? String(pair.key.value) : undefined;
      if (key === undefined || key === '__proto__') throw new Mistake(pair.key, 'a key must be a name');
      value[key] = this.read(pair.value, depth + 1);
      const position = this.positionOf(pair.key);
      if (position !== undefined) places.set(key, position);
    }
    this.#places.set(value, places);
    return value;
  }

  #readList(list: YAMLSeq, depth: number): unknown[] {
    const value: unknown[] = [];
    const places = new Map<string | number, Position>();
    for (const [i, item] of (list.items as Node[]).entries()) {
      value.push(this.read(item, depth + 1));
      const position = this.positionOf(item);
      if (position !== undefined) places.set(i, position);
    }
    this.#places.set(value, places);
    return value;
  }

  #readTagged(tag: string, node: Node, depth: number): unknown {
    const content = (): unknown => this.#readPlain(node, depth);
    const text = (example: string): string => {
      if (isScalar(node) && typeof node.source === 'string' && node.source !== '') return node.source;
      throw new Mistake(node, `${tag} takes a text`, { expected: example });
    };
    switch (tag) {
      case '!force':
        return { _type: 'override', priority: 50, content: content() };
      case '!default':
        return { _type: 'override', priority: 1000, content: content() };
      case '!before':
        return { _type: 'order', priority: 500, content: content() };
      case '!after':
        return { _type: 'order', priority: 1500, content: content() };
      case '!override':
        return this.#readOverride(node, depth);
      case '!ref':
        return { _type: 'ref', path: text('!ref hostSpec.hostName').split('.') };
      case '!pkg':
        return { _type: 'pkg', name: text('!pkg zsh') };
      case '!format':
        return { _type: 'format', template: text('!format "${hostSpec.hostName}.example.com"') };
      case '!merge':
        if (isSeq(node)) return { _type: 'merge', contents: content() };
        throw new Mistake(node, '!merge takes a list', { expected: '!merge [ …, … ]' });
      case '!if': {
        if (!isSeq(node) || node.items.length !== 2)
          throw new Mistake(node, '!if takes a condition and a value', {
            expected: '!if [nixfleet.backup.enable, value]',
          });
        const [condition, value] = content() as [unknown, unknown];
        return {
          _type: 'if',
          condition: typeof condition === 'string' ? { _type: 'ref', path: condition.split('.') } : condition,
          content: value,
        };
      }
      default:
        throw new Mistake(node, `unknown tag ${tag}`, { expected: knownTags.join(', '), found: tag });
    }
  }

  /** `!override 60 zsh` for scalars, `!override [60, value]` for everything. */
  #readOverride(node: Node, depth: number): unknown {
    const expected = '!override 60 value, or !override [60, value]';
    if (isSeq(node) && node.items.length === 2) {
      const [priority, content] = this.#readList(node, depth) as [unknown, unknown];
      if (Number.isInteger(priority)) return { _type: 'override', priority, content };
    }
    if (isScalar(node)) {
      const [, priority, rest] = /^(\d{1,6}) (.*)$/s.exec(node.source ?? '') ?? [];
      if (priority !== undefined && rest !== undefined) {
        const content = scalarValue(parseDocument(rest, { schema: 'core' }).contents as Scalar);
        return { _type: 'override', priority: Number(priority), content };
      }
    }
    throw new Mistake(node, '!override takes a priority and a value', { expected });
  }
}

const knownTags = ['!force', '!default', '!override', '!before', '!after', '!ref', '!pkg', '!format', '!if', '!merge'];

const customTagOf = (node: Node): string | undefined =>
  node.tag?.startsWith('!') === true && node.tag !== '!' ? node.tag : undefined;

/** The library leaves a scalar with a tag it does not know as text: plain ones are read again. */
function scalarValue(node: Scalar): unknown {
  if (node.type === Scalar.PLAIN && typeof node.source === 'string' && customTagOf(node) !== undefined)
    return (parseDocument(node.source, { schema: 'core' }).contents as Scalar | null)?.value ?? null;
  return node.value;
}

/** Reads one file. Everything that is wrong with it comes back as diagnostics, with line and column. */
export function readYamlFile(path: string, text: string): { file?: YamlFile; diagnostics: Diagnostic[] } {
  const lines = new LineCounter();
  const doc = parseDocument(text, { schema: 'core', lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const problems = doc.errors.map((error): Diagnostic => {
    const { line, col } = lines.linePos(error.pos[0]);
    const message = error.message.replace(/\s+/g, ' ');
    return { severity: 'error', file: path, line, column: col, message, expected: 'YAML', found: error.code };
  });
  if (problems.length > 0) return { diagnostics: problems };
  const reader = new Reader(doc, lines);
  try {
    const value = reader.read(doc.contents);
    return { file: { path, value, locate: (container, member) => reader.locate(container, member) }, diagnostics: [] };
  } catch (error) {
    if (!(error instanceof Mistake)) throw error;
    const position = reader.positionOf(error.node);
    return {
      diagnostics: [{ severity: 'error', file: path, ...position, message: error.message, ...error.details }],
    };
  }
}
