import type { Origin } from './definition.ts';
import type { Option } from './option.ts';

/** What contributes to a configuration: options it declares and definitions it makes. */
export interface Module {
  /** Modules of equal keys count once (nixpkgs: modules imported by path). */
  readonly key: string;
  readonly origin: Origin;
  readonly imports?: readonly Module[];
  readonly options?: readonly Option[];
  /** Definitions as a tree of attribute sets, modifiers and computed values. */
  readonly config?: unknown;
  /** Priority of this module's scalars that state none: the band of a fleet layer. */
  readonly scalarPriority?: number;
}

/**
 * The modules in the order in which their definitions merge: breadth-first through the imports, each key once, then
 * reversed (nixpkgs lib/modules.nix, collectModules), so a later module's list items come before an earlier one's.
 */
export function orderModules(modules: readonly Module[]): readonly Module[] {
  const seen = new Set<string>();
  const queue: Module[] = [];
  const add = (module: Module): void => {
    if (seen.has(module.key)) return;
    seen.add(module.key);
    queue.push(module);
  };
  for (const module of modules) add(module);
  for (let i = 0; i < queue.length; i++) for (const imported of queue[i]?.imports ?? []) add(imported);
  return queue.reverse();
}
