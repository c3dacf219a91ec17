import type { RawDefinition } from '../definition.ts';
import { evaluateTree } from '../evaluate.ts';
import { isAttributeSet } from '../markers.ts';
import type { Option } from '../option.ts';
import { buildOptionTree, type OptionNode } from '../option-tree.ts';
import type { OptionType } from '../option-type.ts';

/** An attribute set with options of its own. */
export interface Submodule<T> extends OptionType<T> {
  /** Its options, for documentation and JSON Schema. */
  readonly tree: OptionNode;
}

export interface SubmoduleDetails {
  readonly options: readonly Option[];
  /** Type of names that no option has; absent: such names are errors. */
  readonly freeform?: OptionType<unknown>;
  /** Definitions that every instance starts from. */
  readonly config?: unknown;
}

/**
 * nixpkgs types.submodule. The definitions are modules of their own, so their order turns round once more: inside,
 * what comes later outside comes first.
 */
export function submodule<T>(details: SubmoduleDetails): Submodule<T> {
  const tree = buildOptionTree(
    details.options,
    details.freeform === undefined ? undefined : { type: details.freeform },
  );
  return {
    tree,
    description: 'submodule',
    descriptionClass: 'noun',
    check: isAttributeSet,
    joins: () => true,
    emptyValue: { value: {} as T },
    merge: (scope, path, definitions) => {
      const raws = definitions.map(
        (definition): RawDefinition => ({
          value: definition.value,
          origin: definition.origin,
          position: definition.position,
          scalarPriority: definition.scalarPriority,
        }),
      );
      raws.reverse();
      if (details.config !== undefined) raws.push({ value: details.config, origin: { label: 'submodule' } });
      const evaluation = evaluateTree(tree, raws, { name: path.at(-1) ?? '', outer: scope.config, path });
      const [error] = evaluation.errors;
      if (error !== undefined) throw error;
      return evaluation.value as T;
    },
  };
}

export const isSubmodule = (type: OptionType<unknown>): type is Submodule<unknown> => 'tree' in type;
