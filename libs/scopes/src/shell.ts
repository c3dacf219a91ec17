/** nixpkgs lib.escapeShellArg: quotes unless the text is plain for every shell. */
export const escapeShellArg = (text: string): string =>
  /^[A-Za-z0-9,._+:@%/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** A file of the closure with execute permission; units refer to it where a command stands. */
export interface Script {
  readonly _type: 'script';
  readonly name: string;
  readonly text: string;
}
export const script = (name: string, text: string): Script => ({ _type: 'script', name, text });
export const isScript = (value: unknown): value is Script =>
  typeof value === 'object' && value !== null && (value as { _type?: unknown })._type === 'script';
