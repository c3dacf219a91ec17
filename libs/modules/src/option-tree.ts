import type { Option } from './option.ts';
import type { OptionType } from './option-type.ts';

/** The declared options by name. A node is an option, or holds others; `freeform` types the names nobody declares. */
export interface OptionNode {
  readonly key: string;
  option: Option | undefined;
  readonly children: Map<string, OptionNode>;
  freeform: OptionType<unknown> | undefined;
}

const newNode = (key: string): OptionNode => ({ key, option: undefined, children: new Map(), freeform: undefined });

/**
 * Builds the tree. `freeform` types undeclared names: with `roots` only below those names of the root, which is how
 * the rest of NixOS is let in, else everywhere (a submodule's freeformType).
 * Two declarations of one option, or an option inside another, are mistakes of the author: TypeError.
 */
export function buildOptionTree(
  options: readonly Option[],
  freeform?: { readonly type: OptionType<unknown>; readonly roots?: Iterable<string> },
): OptionNode {
  const root = newNode('');
  const child = (parent: OptionNode, name: string): OptionNode => {
    let node = parent.children.get(name);
    if (node === undefined) {
      node = newNode(parent.key === '' ? name : `${parent.key}.${name}`);
      node.freeform = parent.freeform;
      parent.children.set(name, node);
    }
    return node;
  };
  if (freeform !== undefined && freeform.roots === undefined) root.freeform = freeform.type;
  for (const name of freeform?.roots ?? []) child(root, name).freeform = freeform?.type;
  for (const option of options) {
    let node = root;
    for (const name of option.path) {
      if (node.option !== undefined)
        throw new TypeError(`${option.key} is declared inside the option ${node.option.key}`);
      node = child(node, name);
    }
    if (node.option !== undefined && node.option !== option) throw new TypeError(`${option.key} is declared twice`);
    if (node.children.size > 0) throw new TypeError(`${option.key} is declared, and options below it`);
    node.option = option;
  }
  return root;
}

/** Every option of the tree. */
export function* optionsOf(node: OptionNode): Generator<Option> {
  if (node.option !== undefined) yield node.option;
  for (const child of node.children.values()) yield* optionsOf(child);
}
