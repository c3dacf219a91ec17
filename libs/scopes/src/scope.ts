import { type Module, mkIf, type Option } from '@nixfleet/modules';

export type Platform = 'nixos' | 'darwin';

/** A bundle of options and what they configure, importable by name. */
export interface Scope {
  readonly name: string;
  readonly description: string;
  readonly platforms: readonly Platform[];
  readonly module: Module;
}

export interface ScopeDetails {
  readonly name: string;
  readonly description: string;
  readonly platforms: readonly Platform[];
  readonly options?: readonly Option[];
  /** The definitions apply where this option is true. */
  readonly when?: Option<boolean>;
  readonly config?: unknown;
  readonly imports?: readonly Module[];
}

export function defineScope({ name, description, platforms, options, when, config, imports }: ScopeDetails): Scope {
  return {
    name,
    description,
    platforms,
    module: {
      key: `scope ${name}`,
      origin: { label: `scope ${name}` },
      ...(options === undefined ? {} : { options }),
      ...(imports === undefined ? {} : { imports }),
      ...(config === undefined ? {} : { config: when === undefined ? config : mkIf(when, config) }),
    },
  };
}
