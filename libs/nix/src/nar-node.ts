/** A file tree in memory, as a NAR can hold it: no owners, no times, one executable bit. */
export type NarNode = NarRegular | NarSymlink | NarDirectory;

export interface NarRegular {
  readonly type: 'regular';
  readonly executable: boolean;
  readonly contents: Uint8Array;
}
export interface NarSymlink {
  readonly type: 'symlink';
  readonly target: string;
}
export interface NarDirectory {
  readonly type: 'directory';
  /** In any order: the writer sorts by the bytes of the names. */
  readonly entries: ReadonlyMap<string, NarNode>;
}

export const regularFile = (contents: Uint8Array | string, executable = false): NarRegular => ({
  type: 'regular',
  executable,
  contents: typeof contents === 'string' ? Buffer.from(contents, 'utf8') : contents,
});

export const symlink = (target: string): NarSymlink => ({ type: 'symlink', target });

export const directory = (entries: Readonly<Record<string, NarNode>> | ReadonlyMap<string, NarNode>): NarDirectory => ({
  type: 'directory',
  entries: entries instanceof Map ? entries : new Map(Object.entries(entries)),
});
