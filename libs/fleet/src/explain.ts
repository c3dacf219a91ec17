import {
  describePlace,
  didYouMean,
  type Explanation,
  formatPath,
  type OptionNode,
  type OptionPath,
  parsePath,
  showValue,
} from '@nixfleet/modules';
import { FleetError } from '@nixfleet/schema';
import { evaluateFleetHost } from './layers.ts';
import type { LoadedFleet } from './load.ts';

/** Why a host's option has its value, ready to print. */
export interface ExplainedOption {
  readonly host: string;
  readonly option: string;
  readonly value: unknown;
  readonly type?: string;
  readonly description?: string;
  /** The value is the option's default. */
  readonly isDefault: boolean;
  /** Winning definitions first, in the order in which they merge. */
  readonly definitions: readonly {
    readonly from: string;
    readonly place: string;
    readonly priority: number;
    readonly order?: number;
    readonly winning: boolean;
    readonly value: string;
  }[];
}

const normalOrder = 1000;

function toExplained(host: string, explanation: Explanation, value: unknown): ExplainedOption {
  const { option, definitions } = explanation;
  return {
    host,
    option: explanation.path,
    value,
    ...(option === undefined ? {} : { type: option.type.description, description: option.description }),
    isDefault: option !== undefined && definitions.length === 0,
    definitions: definitions.map((definition) => ({
      from: definition.origin.label,
      place: describePlace(definition),
      priority: definition.priority,
      ...(definition.order === normalOrder ? {} : { order: definition.order }),
      winning: definition.winning,
      value: showValue(definition.value),
    })),
  };
}

/** Throws `not_found` for an unknown host or option, `invalid_fleet` where the value can't be computed. */
export function explainOption(fleet: LoadedFleet, hostName: string, optionPath: string): ExplainedOption {
  const host = fleet.hosts.find((candidate) => candidate.name === hostName);
  if (host === undefined)
    throw new FleetError(
      'not_found',
      `the fleet has no host ${hostName}; it has ${fleet.hosts.map((h) => h.name).join(', ')}`,
    );
  const path = parsePath(optionPath);
  if (path === undefined) throw new FleetError('invalid_input', `${JSON.stringify(optionPath)} is no option path`);
  const evaluation = evaluateFleetHost(fleet, host);
  const explanation = evaluation.explain(path);
  if (explanation === undefined)
    throw new FleetError(
      'not_found',
      `host ${hostName} has no option ${optionPath}, and nothing defines it. ${suggest(evaluation.tree, path)}`.trim(),
    );
  return toExplained(hostName, explanation, plain(explanation.value));
}

/** Names near the first one of the path that no option has. */
function suggest(tree: OptionNode, path: OptionPath): string {
  let node = tree;
  for (const [i, name] of path.entries()) {
    const child = node.children.get(name);
    if (child !== undefined) {
      node = child;
      continue;
    }
    const hint = didYouMean(name, node.children.keys());
    if (hint !== undefined) return hint;
    return `${formatPath(path.slice(0, i)) || 'The root'} has ${[...node.children.keys()].sort().slice(0, 12).join(', ')}.`;
  }
  return '';
}

/** Values that cannot be computed are named instead of ending the explanation of the others. */
function plain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(
    Object.keys(value).flatMap((key) => {
      try {
        const member = plain((value as Record<string, unknown>)[key]);
        return member === undefined ? [] : [[key, member]];
      } catch (error) {
        if (!(error instanceof FleetError)) throw error;
        return [[key, `(no value: ${error.message})`]];
      }
    }),
  );
}
