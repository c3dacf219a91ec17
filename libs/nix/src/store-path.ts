import { FleetError } from '@nixfleet/schema';
import { sha256 } from './hash.ts';
import { encodeNix32 } from './nix32.ts';

/** The only store directory of a fleet: a mismatch is fatal to Nix clients, so it is no setting. */
export const storeDir = '/nix/store';

/** Limits of nix: src/libstore/path.cc. */
const maxNameLength = 211;
const hashPartLength = 32;
const hashPartPattern = /^[0-9a-df-np-sv-z]{32}$/;
const namePattern = /^[0-9a-zA-Z+._?=-]{1,211}$/;
/** `.` and `..` are no names, nor are names that begin so before a dash (nix 2.20, checkName). */
const dotNamePattern = /^\.\.?(?:-|$)/;

export interface StorePath {
  /** `/nix/store/<hashPart>-<name>` */
  readonly path: string;
  /** 32 characters of nix32: the key of a path in caches. */
  readonly hashPart: string;
  readonly name: string;
}

/** True for 32 characters of nix32. To be asked before any lookup or path join. */
export const isHashPart = (text: string): boolean => hashPartPattern.test(text);

const isStoreName = (name: string): boolean => namePattern.test(name) && !dotNamePattern.test(name);

/** Throws `invalid_input` unless Nix would take the name for a store path. */
export function checkStoreName(name: string): void {
  if (!isStoreName(name))
    throw new FleetError(
      'invalid_input',
      `${JSON.stringify(name.slice(0, maxNameLength + 1))} cannot name a store path: 1 to ${maxNameLength} of [0-9a-zA-Z+._?=-], not . or ..`,
    );
}

/** Reads `<hashPart>-<name>`, as narinfos write references. Throws `invalid_input`. */
export function parseStoreBaseName(baseName: string): StorePath {
  const hashPart = baseName.slice(0, hashPartLength);
  const name = baseName.slice(hashPartLength + 1);
  if (!isHashPart(hashPart) || baseName[hashPartLength] !== '-' || !isStoreName(name))
    throw new FleetError('invalid_input', `${JSON.stringify(baseName.slice(0, 256))} is not a store path`);
  return { path: `${storeDir}/${baseName}`, hashPart, name };
}

/** Reads `/nix/store/<hashPart>-<name>`: exactly that, nothing below it. Throws `invalid_input`. */
export function parseStorePath(path: string): StorePath {
  if (!path.startsWith(`${storeDir}/`))
    throw new FleetError('invalid_input', `${JSON.stringify(path.slice(0, 256))} is not in ${storeDir}`);
  return parseStoreBaseName(path.slice(storeDir.length + 1));
}

export function isStorePath(path: string): boolean {
  const start = storeDir.length + 1;
  return (
    path.startsWith(`${storeDir}/`) &&
    path[start + hashPartLength] === '-' &&
    isHashPart(path.slice(start, start + hashPartLength)) &&
    isStoreName(path.slice(start + hashPartLength + 1))
  );
}

/** `<hashPart>-<name>` of a full store path. Throws `invalid_input`. */
export const baseNameOf = (path: string): string => parseStorePath(path).path.slice(storeDir.length + 1);
/** Throws `invalid_input`. */
export const hashPartOf = (path: string): string => parseStorePath(path).hashPart;

/** Folds a digest to 20 bytes by XOR (nix: compressHash). */
function compressHash(digest: Uint8Array): Uint8Array {
  const out = new Uint8Array(20);
  for (let i = 0; i < digest.length; i++) out[i % 20] = (out[i % 20] ?? 0) ^ (digest[i] ?? 0);
  return out;
}

/** nix: StoreDirConfig::makeStorePath. `type` may carry references: `source:/nix/store/a:/nix/store/b`. */
export function makeStorePath(type: string, digest: Uint8Array, name: string): string {
  checkStoreName(name);
  const hex = Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength).toString('hex');
  const fingerprint = sha256(`${type}:sha256:${hex}:${storeDir}:${name}`);
  return `${storeDir}/${encodeNix32(compressHash(fingerprint))}-${name}`;
}

/** References as they stand in a type: full paths, each once, sorted by bytes (store paths are ASCII). */
function withReferences(type: string, references: readonly string[]): string {
  for (const reference of references) parseStorePath(reference);
  return [type, ...new Set(references.toSorted())].join(':');
}

/**
 * Path of a tree by its contents: `fixed:r:sha256` with references but none to itself, as `nix-store --add` and
 * `nix store make-content-addressed` give (nix: makeFixedOutputPathFromCA).
 */
export const makeContentPath = (name: string, narSha256: Uint8Array, references: readonly string[] = []): string =>
  makeStorePath(withReferences('source', references), narSha256, name);

/** Path of a text file, as `builtins.toFile` gives (nix: makeTextPath). */
export const makeTextPath = (name: string, text: Uint8Array | string, references: readonly string[] = []): string =>
  makeStorePath(withReferences('text', references), sha256(text), name);
