import { hash } from 'node:crypto';
import { FleetError } from '@nixfleet/schema';
import { decodeNix32, encodeNix32 } from './nix32.ts';

/** A SHA-256 as Nix writes it in narinfos and signatures: `sha256:` and 52 characters of nix32. */
export type NixHash = string;

const canonicalPattern = /^sha256:[01][0-9a-df-np-sv-z]{51}$/;

/** SHA-256 of bytes, 32 bytes. */
export const sha256 = (bytes: Uint8Array | string): Buffer => hash('sha256', bytes, 'buffer');

export const formatNixHash = (digest: Uint8Array): NixHash => `sha256:${encodeNix32(digest)}`;
export const formatSriHash = (digest: Uint8Array): string => `sha256-${Buffer.from(digest).toString('base64')}`;
export const formatHexHash = (digest: Uint8Array): string => `sha256:${Buffer.from(digest).toString('hex')}`;

/** The digest text after `sha256:`, by its length: hex is 64 characters, nix32 is 52, base64 is 44. */
function decodeDigest(digest: string): Uint8Array | undefined {
  if (/^[0-9a-fA-F]{64}$/.test(digest)) return Buffer.from(digest, 'hex');
  if (canonicalPattern.test(`sha256:${digest}`)) return decodeNix32(digest);
  return /^[0-9A-Za-z+/]{43}=$/.test(digest) ? decodeBase64(digest) : undefined;
}

/** Bytes of a base64 text, or undefined unless it is the one canonical spelling. */
export function decodeBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/**
 * The 32 bytes of a SHA-256 in any of Nix's spellings: `sha256:<nix32>`, `sha256:<hex>`, `sha256:<base64>`, SRI
 * `sha256-<base64>`. Throws `invalid_input` otherwise.
 */
export function parseNixHash(text: string): Uint8Array {
  const digest = /^sha256(?::|-(?=.{44}$))(.{44,64})$/.exec(text)?.[1];
  const bytes = digest === undefined ? undefined : decodeDigest(digest);
  if (bytes === undefined)
    throw new FleetError(
      'invalid_input',
      `${JSON.stringify(text.slice(0, 100))} is not a SHA-256 (expected sha256:<nix32 or hex> or sha256-<base64>)`,
    );
  return bytes;
}

/** The canonical spelling of a hash; texts that have it already pass without being decoded. */
export const normalizeNixHash = (text: string): NixHash =>
  canonicalPattern.test(text) ? text : formatNixHash(parseNixHash(text));
