import { memberOf, type RawDefinition } from './definition.ts';
import { EvaluationError, placeOf, showValue } from './errors.ts';
import { asMarker, isAttributeSet } from './markers.ts';
import { didYouMeanOneOf, nearestNames } from './nearest.ts';
import { formatPath, type OptionPath } from './option-path.ts';
import type { OptionNode } from './option-tree.ts';

/** Definitions by option, and by name where nothing is declared. */
export interface Collected {
  readonly options: Map<OptionNode, RawDefinition[]>;
  readonly freeform: Map<OptionNode, Map<string, RawDefinition[]>>;
  readonly errors: EvaluationError[];
}

/** An attribute set above the options, with what modifiers around it say. */
interface Pushed {
  readonly container: object;
  readonly raw: RawDefinition;
}

/**
 * Pushes modifiers down to the options (nixpkgs pushDownProperties). Conditions are not evaluated: a name that no
 * option has is a mistake even where the condition is false.
 */
function pushDown(raw: RawDefinition, path: OptionPath, errors: EvaluationError[]): Pushed[] {
  const { value } = raw;
  const marker = asMarker(value);
  const fail = (message: string, expected: string): Pushed[] => {
    const diagnostic = { ...placeOf(raw), optionPath: formatPath(path), message, expected, found: showValue(value) };
    errors.push(new EvaluationError('type', diagnostic));
    return [];
  };
  if (marker === undefined) {
    if (isAttributeSet(value)) return [{ container: value, raw }];
    return fail(
      path.length === 0 ? 'this is no configuration' : 'this is no option, it holds options',
      'attribute set',
    );
  }
  if ('malformed' in marker) return fail(marker.malformed, 'a whole modifier');
  switch (marker._type) {
    case 'override':
      return pushDown({ ...raw, value: marker.content, priority: raw.priority ?? marker.priority }, path, errors);
    case 'if':
      return pushDown(
        { ...raw, value: marker.content, conditions: [...(raw.conditions ?? []), marker.condition] },
        path,
        errors,
      );
    case 'merge':
      return marker.contents.flatMap((content) => pushDown({ ...raw, value: content }, path, errors));
    case 'order':
    case 'ref':
    case 'format':
      return fail(`${marker._type} cannot stand above options`, 'attribute set');
  }
}

function unknownOption(node: OptionNode, path: OptionPath, member: RawDefinition): EvaluationError {
  const name = path.at(-1) ?? '';
  const prefix = path.slice(0, -1);
  const near = nearestNames(name, node.children.keys()).map((found) => formatPath([...prefix, found]));
  const known = [...node.children.keys()].sort().slice(0, 12).join(', ');
  const hint = didYouMeanOneOf(near) ?? `${prefix.length === 0 ? 'The root' : formatPath(prefix)} has ${known}.`;
  const by = member.origin.file === undefined ? ` (set by ${member.origin.label})` : '';
  return new EvaluationError('unknown', {
    ...placeOf(member),
    optionPath: formatPath(path),
    message: `unknown option${by}`,
    expected: 'an option that a scope declares',
    found: formatPath(path),
    hint,
  });
}

/** Sorts definitions to the options they define. Mistakes are collected: one wrong name hides no other. */
export function collectDefinitions(root: OptionNode, raws: readonly RawDefinition[]): Collected {
  const collected: Collected = { options: new Map(), freeform: new Map(), errors: [] };
  const visit = (node: OptionNode, path: OptionPath, definitions: readonly RawDefinition[]): void => {
    if (node.option !== undefined) {
      collected.options.set(node, [...(collected.options.get(node) ?? []), ...definitions]);
      return;
    }
    const byChild = new Map<OptionNode, { path: OptionPath; definitions: RawDefinition[] }>();
    for (const definition of definitions) {
      for (const { container, raw } of pushDown(definition, path, collected.errors)) {
        for (const [name, value] of Object.entries(container)) {
          const member: RawDefinition = {
            ...memberOf(raw, container, name, value),
            priority: raw.priority,
            conditions: raw.conditions,
          };
          const child = node.children.get(name);
          if (child !== undefined) {
            const found = byChild.get(child);
            if (found === undefined) byChild.set(child, { path: [...path, name], definitions: [member] });
            else found.definitions.push(member);
          } else if (node.freeform !== undefined) addFreeform(collected, node, name, member);
          else collected.errors.push(unknownOption(node, [...path, name], member));
        }
      }
    }
    for (const [child, found] of byChild) visit(child, found.path, found.definitions);
  };
  visit(root, [], raws);
  return collected;
}

function addFreeform(collected: Collected, node: OptionNode, name: string, member: RawDefinition): void {
  let names = collected.freeform.get(node);
  if (names === undefined) collected.freeform.set(node, (names = new Map()));
  const found = names.get(name);
  if (found === undefined) names.set(name, [member]);
  else found.push(member);
}
