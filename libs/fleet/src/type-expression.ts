import {
  anything,
  attrs,
  attrsOf,
  bool,
  commas,
  enumOf,
  float,
  int,
  lines,
  listOf,
  nonEmptyListOf,
  nullOr,
  type OptionType,
  path,
  pkgType,
  port,
  positiveInt,
  str,
  strMatching,
  unsignedInt,
} from '@nixfleet/modules';

/** Types without arguments, by the names that nixpkgs lib.types gives them. */
const simple: Readonly<Record<string, OptionType<unknown>>> = {
  bool,
  str,
  int,
  float,
  lines,
  commas,
  path,
  port,
  package: pkgType,
  anything,
  attrs,
  'ints.positive': positiveInt,
  'ints.unsigned': unsignedInt,
};
const wrappers: Readonly<Record<string, (element: OptionType<unknown>) => OptionType<unknown>>> = {
  listOf,
  nonEmptyListOf,
  attrsOf,
  nullOr,
};

export const typeExpressionHelp = `${Object.keys(simple).join(', ')}, listOf T, nonEmptyListOf T, attrsOf T, nullOr T, enum ["a" "b"], strMatching "pattern"`;

/** A type as Nix writes it: `nullOr (listOf str)`, `enum ["a" "b"]`. Throws a SyntaxError that says what is wrong. */
export function parseTypeExpression(text: string): OptionType<unknown> {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[()[\]]|[^\s()[\]"]+/g) ?? [];
  let at = 0;
  const next = (): string => tokens[at++] ?? '';
  const literal = (token: string): string => {
    if (!token.startsWith('"')) throw new SyntaxError(`expected a text in quotes, found ${token || 'the end'}`);
    return JSON.parse(token) as string;
  };
  const parse = (): OptionType<unknown> => {
    const token = next();
    if (token === '(') {
      const inner = parse();
      if (next() !== ')') throw new SyntaxError('expected a closing parenthesis');
      return inner;
    }
    const name = token.replace(/^(lib\.)?types\./, '');
    const plain = Object.hasOwn(simple, name) ? simple[name] : undefined;
    if (plain !== undefined) return plain;
    const wrap = Object.hasOwn(wrappers, name) ? wrappers[name] : undefined;
    if (wrap !== undefined) return wrap(parse());
    if (name === 'strMatching') return strMatching(literal(next()));
    if (name === 'enum') {
      if (next() !== '[') throw new SyntaxError('enum takes a list: enum ["a" "b"]');
      const values: string[] = [];
      for (let item = next(); item !== ']'; item = next()) values.push(literal(item));
      return enumOf(values);
    }
    throw new SyntaxError(`unknown type ${token || '(nothing)'}`);
  };
  const type = parse();
  if (at < tokens.length) throw new SyntaxError(`nothing may follow: ${tokens.slice(at).join(' ')}`);
  return type;
}
