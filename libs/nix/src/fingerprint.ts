import { normalizeNixHash } from './hash.ts';
import type { NarInfo } from './narinfo.ts';
import { type PublicKey, type SecretKey, signMessage, verifyMessage } from './signature.ts';

/** What of a path is signed, and what a closure's digest covers. */
export type PathFacts = Pick<NarInfo, 'storePath' | 'narHash' | 'narSize' | 'references'>;

/**
 * The text that a cache signs: `1;<path>;sha256:<nix32>;<size>;<references, full, sorted, comma-joined>`. Without
 * references it ends in a semicolon (nix: ValidPathInfo::fingerprint).
 */
export const pathFingerprint = (facts: PathFacts): string =>
  `1;${facts.storePath};${normalizeNixHash(facts.narHash)};${facts.narSize};${facts.references.toSorted().join(',')}`;

export const signPath = (key: SecretKey, facts: PathFacts): string => signMessage(key, pathFingerprint(facts));

/** True when at least one of the narinfo's signatures is by a trusted key. */
export function verifyNarInfo(
  info: PathFacts & Pick<NarInfo, 'signatures'>,
  trustedKeys: readonly PublicKey[],
): boolean {
  const message = Buffer.from(pathFingerprint(info), 'utf8');
  return info.signatures.some((signature) => verifyMessage(trustedKeys, message, signature));
}
