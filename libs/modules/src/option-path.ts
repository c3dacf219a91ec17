/** Names of attributes from the root: `['environment', 'etc', 'acme/web.json']`. */
export type OptionPath = readonly string[];

const identifier = /^[A-Za-z_][A-Za-z0-9_'-]*$/;

const quote = (name: string): string => (identifier.test(name) ? name : JSON.stringify(name));

/** `environment.etc."acme/web.json"`, as Nix writes it. Injective, so it also keys maps. */
export const formatPath = (path: OptionPath): string => path.map(quote).join('.');

/** Reads what {@link formatPath} writes; `*` and `<name>` stand for themselves. Undefined when it is no path. */
export function parsePath(text: string): OptionPath | undefined {
  const path: string[] = [];
  const part = /(?:"((?:[^"\\]|\\.)*)"|([^."]+))(\.|$)/y;
  while (part.lastIndex < text.length) {
    const match = part.exec(text);
    if (match === null) return undefined;
    const quoted = match[1];
    try {
      path.push(quoted === undefined ? (match[2] ?? '') : (JSON.parse(`"${quoted}"`) as string));
    } catch {
      return undefined;
    }
    if (match[3] === '') break;
    if (part.lastIndex === text.length) return undefined;
  }
  return path.length > 0 ? path : undefined;
}
