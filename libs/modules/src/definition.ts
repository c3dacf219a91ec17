/** A place in a file, both 1-based. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Where a module's definitions come from: a scope of ours or a layer of a fleet. */
export interface Origin {
  /** `scope backup`, `role server`, `host web-01`, `group production`. */
  readonly label: string;
  /** File of the fleet, relative to its directory; absent for code. */
  readonly file?: string;
  /** Position of a member of a list or attribute set of that file. */
  readonly locate?: (container: object, member: string | number) => Position | undefined;
}

/** A definition as a module makes it: modifiers and computed parts still in place. */
export interface RawDefinition {
  readonly value: unknown;
  readonly origin: Origin;
  readonly position?: Position | undefined;
  /** Set by an override above the option; wins over what the value itself says. */
  readonly priority?: number | undefined;
  /** Set by an order above an element of a freeform tree. */
  readonly order?: number | undefined;
  /** Priority of a scalar without an explicit override (the band of a fleet layer); joining types stay at 100. */
  readonly scalarPriority?: number | undefined;
  readonly conditions?: readonly unknown[] | undefined;
}

/** A definition ready to merge. */
export interface Definition {
  readonly value: unknown;
  readonly priority: number;
  readonly order: number;
  readonly origin: Origin;
  readonly position?: Position | undefined;
  readonly scalarPriority?: number | undefined;
}

/** A definition as `explain` shows it, in merge order. */
export interface ExplainedDefinition extends Definition {
  /** True when it is of the best priority, so part of the value. */
  readonly winning: boolean;
}

/** A definition of one member of a definition's value. */
export function memberOf(
  parent: Definition | RawDefinition,
  container: object,
  key: string | number,
  value: unknown,
): RawDefinition {
  return {
    value,
    origin: parent.origin,
    position: parent.origin.locate?.(container, key) ?? parent.position,
    scalarPriority: parent.scalarPriority,
  };
}

/** `hosts/web-01.yaml:12`, or the label where there is no file. */
export function describePlace(definition: Pick<Definition, 'origin' | 'position'>): string {
  const { origin, position } = definition;
  if (origin.file === undefined) return origin.label;
  return position === undefined ? origin.file : `${origin.file}:${position.line}`;
}
