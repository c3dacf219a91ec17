import { collectDefinitions } from './collect.ts';
import type { Config } from './config.ts';
import type { Definition, ExplainedDefinition, RawDefinition } from './definition.ts';
import { conflictError, EvaluationError, placeOf, RefusedValue } from './errors.ts';
import { explainableOf, forceValue, lazyRecord } from './lazy-record.ts';
import { priorities, type Thunk } from './markers.ts';
import { evaluateCondition, explainDefinitions, type Merged, type MergeScope, mergeDefinitions } from './merge.ts';
import type { Module } from './module.ts';
import { orderModules } from './module.ts';
import type { Option } from './option.ts';
import { formatPath, type OptionPath, parsePath } from './option-path.ts';
import { buildOptionTree, type OptionNode } from './option-tree.ts';
import type { OptionType } from './option-type.ts';
import { mayHold, once } from './types/collections.ts';

/** Why an option has its value. */
export interface Explanation {
  readonly path: string;
  readonly option?: Option;
  readonly value: unknown;
  /** Winning definitions first, in merge order; empty when the value is the option's default. */
  readonly definitions: readonly ExplainedDefinition[];
}

/** A configuration whose options are evaluated when they are asked for. */
export interface Evaluation extends Config {
  /** Mistakes that do not depend on any value: names of no option, values where options were expected. */
  readonly errors: readonly EvaluationError[];
  readonly tree: OptionNode;
  /** Undefined where nothing is declared or defined. Throws what evaluating the value throws. */
  explain(path: OptionPath): Explanation | undefined;
  /** Every option and freeform value as plain data; what fails goes to `onError` and is left out. */
  toPlain(onError: (error: unknown) => void): Record<string, unknown>;
  /** The value of the root: options and freeform members, evaluated on access. */
  readonly value: Readonly<Record<string, unknown>>;
}

export interface Surroundings {
  readonly name: string;
  readonly outer: Config;
  /** Path of the submodule; its own paths come after it in messages. */
  readonly path: OptionPath;
}

/** Evaluates modules (nixpkgs lib.evalModules). `freeform` types what no module declares, below the named roots. */
export function evaluateModules(
  modules: readonly Module[],
  freeform?: { readonly type: OptionType<unknown>; readonly roots: Iterable<string> },
): Evaluation {
  const ordered = orderModules(modules);
  const tree = buildOptionTree(
    // Declared in the order of import, which is the order that people read.
    ordered.toReversed().flatMap((module) => module.options ?? []),
    freeform,
  );
  const raws = ordered.flatMap((module): RawDefinition[] =>
    module.config === undefined
      ? []
      : [{ value: module.config, origin: module.origin, scalarPriority: module.scalarPriority }],
  );
  return evaluateTree(tree, raws);
}

/** Evaluates definitions against declared options; `within` for a submodule. */
export function evaluateTree(tree: OptionNode, raws: readonly RawDefinition[], within?: Surroundings): Evaluation {
  return new TreeEvaluation(tree, raws, within);
}

/** A condition object is shared by all definitions below it: evaluated once. */
class ConditionCache {
  readonly #results = new Map<unknown, () => boolean>();
  holds(scope: MergeScope, condition: unknown, definition: RawDefinition, path: OptionPath): boolean {
    if (typeof condition === 'boolean') return condition;
    let result = this.#results.get(condition);
    if (result === undefined) {
      result = once(() => evaluateCondition(scope, condition, definition, path));
      this.#results.set(condition, result);
    }
    return result();
  }
}

class TreeEvaluation implements Evaluation {
  readonly tree: OptionNode;
  readonly errors: readonly EvaluationError[];
  readonly name: string;
  readonly outer: Config;
  readonly #prefix: OptionPath;
  readonly #scope: MergeScope;
  readonly #slots = new Map<OptionNode, Merged<unknown>>();
  readonly #freeform = new Map<OptionNode, ReadonlyMap<string, Merged<unknown> & { readonly exists: () => boolean }>>();
  #root: Readonly<Record<string, unknown>> | undefined;

  constructor(tree: OptionNode, raws: readonly RawDefinition[], within: Surroundings | undefined) {
    this.tree = tree;
    this.name = within?.name ?? '';
    this.outer = within?.outer ?? this;
    this.#prefix = within?.path ?? [];
    const conditions = new ConditionCache();
    const scope: MergeScope = {
      config: this,
      holds: (condition, definition, path) => conditions.holds(scope, condition, definition, path),
    };
    this.#scope = scope;
    const collected = collectDefinitions(tree, raws);
    this.errors = collected.errors;
    const open = (node: OptionNode): void => {
      if (node.option !== undefined)
        this.#slots.set(node, this.#openOption(node.option, collected.options.get(node) ?? []));
      for (const child of node.children.values()) open(child);
    };
    open(tree);
    for (const [node, names] of collected.freeform) {
      const slots = new Map<string, Merged<unknown> & { readonly exists: () => boolean }>();
      for (const [name, members] of names) slots.set(name, this.#openFreeform(node, name, members));
      this.#freeform.set(node, slots);
    }
  }

  get<T>(option: Option<T>): T {
    const node = this.#nodeOf(option);
    if (node !== undefined) return this.#slots.get(node)?.value as T;
    if (this.outer !== this) return this.outer.get(option);
    throw new TypeError(`no module declares ${option.key}`);
  }

  getOr<T>(option: Option<T>, fallback: T): T {
    if (this.#nodeOf(option) !== undefined) return this.get(option);
    return this.outer === this ? fallback : this.outer.getOr(option, fallback);
  }

  /** Paths are those of the host, also inside a submodule. */
  read(path: string): unknown {
    return this.outer === this ? this.#read(path) : this.outer.read(path);
  }

  #read(path: string): unknown {
    const parsed = parsePath(path);
    if (parsed === undefined) throw new RefusedValue(`${JSON.stringify(path)} is no option path`);
    const found = this.#locate(parsed);
    if (found === undefined) return undefined;
    if (found.slot === undefined) return this.#record(found.node, found.path);
    let value = found.slot.value;
    for (const name of found.rest) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
      value = (value as Record<string, unknown>)[name];
    }
    return value;
  }

  explain(path: OptionPath): Explanation | undefined {
    const found = this.#locate(path);
    if (found === undefined) return undefined;
    const key = formatPath([...this.#prefix, ...path]);
    if (found.slot === undefined) return { path: key, value: this.#record(found.node, found.path), definitions: [] };
    const value = this.#read(formatPath(path));
    const definitions =
      found.rest.length === 0
        ? found.slot.definitions
        : (explainableOf(found.slot.value)?.definitionsOf(found.rest) ?? (value === undefined ? undefined : []));
    if (definitions === undefined) return undefined;
    const option = found.node.option;
    return {
      path: key,
      ...(option === undefined ? {} : { option }),
      value,
      definitions: explainDefinitions(definitions),
    };
  }

  get value(): Readonly<Record<string, unknown>> {
    this.#root ??= this.#record(this.tree, []);
    return this.#root;
  }

  toPlain(onError: (error: unknown) => void): Record<string, unknown> {
    return forceValue(this.value, onError) as Record<string, unknown>;
  }

  /** Inside a submodule an option is known by its handle, for its path may also be one of the host. */
  #nodeOf(option: Option): OptionNode | undefined {
    let node: OptionNode | undefined = this.tree;
    for (const name of option.path) node = node?.children.get(name);
    if (node?.option === undefined) return undefined;
    return this.outer === this || node.option === option ? node : undefined;
  }

  /** The option or freeform member that a path leads into, and what of the path is left. */
  #locate(
    path: OptionPath,
  ): { node: OptionNode; path: OptionPath; slot?: Merged<unknown>; rest: OptionPath } | undefined {
    let node = this.tree;
    for (let i = 0; i <= path.length; i++) {
      const slot = this.#slots.get(node);
      if (slot !== undefined) return { node, path: path.slice(0, i), slot, rest: path.slice(i) };
      if (i === path.length) break;
      const name = path[i] ?? '';
      const child = node.children.get(name);
      if (child !== undefined) {
        node = child;
        continue;
      }
      const member = this.#freeform.get(node)?.get(name);
      if (member === undefined || !member.exists()) return undefined;
      return { node, path: path.slice(0, i + 1), slot: member, rest: path.slice(i + 1) };
    }
    return { node, path, rest: [] };
  }

  #record(node: OptionNode, path: OptionPath): Readonly<Record<string, unknown>> {
    const members = new Map<string, Merged<unknown>>();
    for (const [name, child] of node.children) {
      const slot = this.#slots.get(child);
      if (slot !== undefined) members.set(name, slot);
      else {
        const value = once(() => this.#record(child, [...path, name]));
        members.set(name, {
          get value() {
            return value();
          },
          definitions: [],
        });
      }
    }
    for (const [name, member] of this.#freeform.get(node) ?? []) if (member.exists()) members.set(name, member);
    return lazyRecord(members);
  }

  #openOption(option: Option, raws: readonly RawDefinition[]): Merged<unknown> {
    const path = [...this.#prefix, ...option.path];
    let busy = false;
    const merged = once((): Merged<unknown> => {
      if (busy) throw cycleError(path, raws);
      busy = true;
      try {
        return this.#evaluateOption(option, path, raws);
      } catch (error) {
        throw atPath(error, path, raws);
      } finally {
        busy = false;
      }
    });
    // `once` remembers results only, so a re-entrant read comes here again and meets `busy`.
    return {
      get value() {
        return merged().value;
      },
      get definitions() {
        return merged().definitions;
      },
    };
  }

  #evaluateOption(option: Option, path: OptionPath, raws: readonly RawDefinition[]): Merged<unknown> {
    if (option.readOnly && 'default' in option && raws.length > 0)
      throw conflictError(
        path,
        raws.map((raw) => ({ ...raw, priority: raw.priority ?? priorities.normal, order: 0 })),
        'read-only option, computed from others',
      );
    const merged = mergeDefinitions(this.#scope, path, option.type, raws) ?? this.#defaultOf(option, path);
    if (option.readOnly && merged.definitions.length > 1)
      throw conflictError(path, merged.definitions, 'read-only option, defined more than once');
    return option.apply === undefined || merged.value === undefined
      ? merged
      : { ...merged, value: option.apply(merged.value) };
  }

  #defaultOf(option: Option, path: OptionPath): Merged<unknown> {
    const { type } = option;
    if (option.optional) return { value: undefined, definitions: [] };
    if (!('default' in option)) {
      if (type.emptyValue !== undefined) return { value: type.emptyValue.value, definitions: [] };
      throw new EvaluationError('missing', {
        optionPath: formatPath(path),
        message: 'read, but nothing sets it and it has no default',
        expected: type.description,
        found: 'nothing',
        hint: `Set ${formatPath(path)}.`,
      });
    }
    const computed = option.default;
    const value = typeof computed === 'function' ? (computed as Thunk)(this) : computed;
    const raw: RawDefinition = { value, origin: { label: 'default' }, priority: priorities.optionDefault };
    const merged = mergeDefinitions(this.#scope, path, type, [raw]);
    return { value: merged?.value, definitions: [] };
  }

  #openFreeform(
    node: OptionNode,
    name: string,
    raws: readonly RawDefinition[],
  ): Merged<unknown> & { readonly exists: () => boolean } {
    const scope = this.#scope;
    const path = [...this.#prefix, ...(parsePath(node.key) ?? []), name];
    let busy = false;
    const merged = once(() => {
      if (busy) throw cycleError(path, raws);
      busy = true;
      try {
        return mergeDefinitions(scope, path, node.freeform as OptionType<unknown>, raws);
      } catch (error) {
        throw atPath(error, path, raws);
      } finally {
        busy = false;
      }
    });
    return {
      exists: once(() => raws.some((raw) => mayHold(scope, path, raw))),
      get value() {
        return merged()?.value;
      },
      get definitions(): readonly Definition[] {
        return merged()?.definitions ?? [];
      },
    };
  }
}

function cycleError(path: OptionPath, raws: readonly RawDefinition[]): EvaluationError {
  return new EvaluationError('cycle', {
    ...(raws[0] === undefined ? {} : placeOf(raws[0])),
    optionPath: formatPath(path),
    message: 'its value depends on itself',
    hint: 'Follow the references and conditions of its definitions back to it.',
  });
}

/** Refusals of computed values get the place of the definition that asked for them. */
function atPath(error: unknown, path: OptionPath, raws: readonly RawDefinition[]): unknown {
  if (!(error instanceof RefusedValue)) return error;
  const editable = raws.find((raw) => raw.origin.file !== undefined);
  return new EvaluationError('refused', {
    ...(editable === undefined ? {} : placeOf(editable)),
    optionPath: formatPath(path),
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}
