import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign as signBytes,
  verify as verifyBytes,
} from 'node:crypto';
import { FleetError } from '@nixfleet/schema';
import { decodeBase64 } from './hash.ts';

/**
 * Nix's keys and signatures: `name:base64`, ed25519 (RFC 8032). A secret key is 64 bytes, seed and public key; a
 * public key is 32, a signature 64 (nix: src/libutil/signature/local-keys.cc).
 *
 * Keys are held as KeyObjects: these print and serialise as nothing, so a secret can't slip into a log.
 */
export interface PublicKey {
  readonly name: string;
  readonly keyObject: KeyObject;
}
export interface SecretKey {
  readonly name: string;
  readonly keyObject: KeyObject;
  readonly publicKey: PublicKey;
}

// RFC 8410: the fixed heads of an ed25519 key in DER.
const pkcs8Head = Buffer.from('302e020100300506032b657004220420', 'hex');
const spkiHead = Buffer.from('302a300506032b6570032100', 'hex');
const seedBytes = 32;
const publicBytes = 32;
const signatureBytes = 64;
const namePattern = /^[^\s:]{1,255}$/;

/** Splits `name:base64` and checks the length. The message never has the text in it: it may be a secret. */
function splitNamed(text: string, what: string, size: number): { name: string; bytes: Uint8Array } {
  const colon = text.indexOf(':');
  const name = text.slice(0, colon);
  if (colon < 1 || !namePattern.test(name))
    throw new FleetError(
      'invalid_input',
      `a ${what} has the form name:base64, with neither spaces nor colons in the name`,
    );
  const bytes = decodeBase64(text.slice(colon + 1));
  if (bytes === undefined || bytes.length !== size)
    throw new FleetError('invalid_input', `${what} ${name} is not ${size} bytes of base64`);
  return { name, bytes };
}

const publicKeyFrom = (name: string, bytes: Uint8Array): PublicKey => ({
  name,
  keyObject: createPublicKey({ key: Buffer.concat([spkiHead, bytes]), format: 'der', type: 'spki' }),
});

const rawPublic = (key: PublicKey): Buffer =>
  key.keyObject.export({ format: 'der', type: 'spki' }).subarray(spkiHead.length);

export function parsePublicKey(text: string): PublicKey {
  const { name, bytes } = splitNamed(text.trim(), 'public key', publicBytes);
  return publicKeyFrom(name, bytes);
}

export const formatPublicKey = (key: PublicKey): string => `${key.name}:${rawPublic(key).toString('base64')}`;

/** Throws `invalid_input`, also when the public half is not that of the seed. */
export function parseSecretKey(text: string): SecretKey {
  const { name, bytes } = splitNamed(text.trim(), 'secret key', seedBytes + publicBytes);
  const keyObject = createPrivateKey({
    key: Buffer.concat([pkcs8Head, bytes.subarray(0, seedBytes)]),
    format: 'der',
    type: 'pkcs8',
  });
  const publicKey = { name, keyObject: createPublicKey(keyObject) };
  if (!rawPublic(publicKey).equals(bytes.subarray(seedBytes)))
    throw new FleetError('invalid_input', `secret key ${name} is damaged: its halves do not belong together`);
  return { name, keyObject, publicKey };
}

/** The text that `nix-store --generate-binary-cache-key` writes. A secret: for a file of mode 0600 only. */
export function formatSecretKey(key: SecretKey): string {
  const seed = key.keyObject.export({ format: 'der', type: 'pkcs8' }).subarray(pkcs8Head.length);
  return `${key.name}:${Buffer.concat([seed, rawPublic(key.publicKey)]).toString('base64')}`;
}

/** Throws `invalid_input` when the name has a colon or white space. */
export function generateKeyPair(name: string): SecretKey {
  if (!namePattern.test(name))
    throw new FleetError(
      'invalid_input',
      `${JSON.stringify(name)} cannot name a key: no spaces, no colons, 1 to 255 characters`,
    );
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return { name, keyObject: privateKey, publicKey: { name, keyObject: publicKey } };
}

const messageBytes = (message: Uint8Array | string): Uint8Array =>
  typeof message === 'string' ? Buffer.from(message, 'utf8') : message;

/** `name:base64` of the signature. */
export const signMessage = (key: SecretKey, message: Uint8Array | string): string =>
  `${key.name}:${signBytes(null, messageBytes(message), key.keyObject).toString('base64')}`;

/** Name of the key that a signature or a key claims. */
export const keyNameOf = (text: string): string => text.slice(0, Math.max(0, text.indexOf(':')));

/** True when a key of that name made the signature. A malformed signature is simply not one. */
export function verifyMessage(keys: readonly PublicKey[], message: Uint8Array | string, signature: string): boolean {
  const name = keyNameOf(signature);
  const bytes = decodeBase64(signature.slice(name.length + 1));
  if (bytes === undefined || bytes.length !== signatureBytes) return false;
  return keys.some((key) => key.name === name && verifyBytes(null, messageBytes(message), key.keyObject, bytes));
}
