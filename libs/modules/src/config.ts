import type { Option } from './option.ts';

/** What computed values see: the final configuration, each option evaluated when it is asked for. */
export interface Config {
  /** Final value of an option. Throws what its evaluation throws. */
  get<T>(option: Option<T>): T;
  /** Final value, or `fallback` where nothing declares the option: for scopes that a host may lack. */
  getOr<T>(option: Option<T>, fallback: T): T;
  /** Final value at a path, below freeform trees and inside values too; undefined where nothing defines it. */
  read(path: string): unknown;
  /** Name of the attribute that this submodule stands at; empty at the root. */
  readonly name: string;
  /** The configuration around a submodule; itself at the root. */
  readonly outer: Config;
}
