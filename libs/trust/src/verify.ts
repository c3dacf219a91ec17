import { keyNameOf, type PublicKey, verifyMessage } from '@nixfleet/nix';
import type { AttemptReason, ReleaseSignature, SignedStatement } from '@nixfleet/schema';
import { canonicalBytes } from './canonical.ts';
import { rootFromProof } from './merkle.ts';
import { type ReleaseContent, releaseId, signedText, statementsWithProofs } from './release.ts';

/** Clocks may differ by this much before a statement counts as future-dated or expired. */
export const clockSkewMs = 60_000;

export interface VerifyContext {
  readonly fleet: string;
  readonly host: string;
  readonly trustedKeys: readonly PublicKey[];
  readonly nowMs: number;
  /** Highest sequence that the host has accepted; 0 when none. */
  readonly lastSequence: number;
}

export type Verdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: AttemptReason; readonly detail: string };

const refuse = (reason: AttemptReason, detail: string): Verdict => ({ ok: false, reason, detail });

/** What an agent checks before it acts on a statement. Signature first: nothing else of an unsigned one is believed. */
export function verifySignedStatement(signed: SignedStatement, context: VerifyContext): Verdict {
  const { statement, proof, signature } = signed;
  const keyName = keyNameOf(signature);
  if (!context.trustedKeys.some((key) => key.name === keyName)) {
    const known = context.trustedKeys.map((key) => key.name).join(', ') || 'none';
    return refuse('unknown_key', `signed by ${keyName}; trusted keys: ${known}`);
  }
  const root = rootFromProof(canonicalBytes(statement), proof);
  if (root === undefined) return refuse('invalid_signature', 'the proof does not fit a tree of its size');
  const text = signedText(statement.fleet, statement.release, statement.sequence, proof.treeSize, root.toString('hex'));
  if (!verifyMessage(context.trustedKeys, text, signature)) {
    return refuse('invalid_signature', `the signature of ${keyName} does not cover this statement`);
  }
  if (statement.fleet !== context.fleet)
    return refuse('wrong_fleet', `statement for fleet ${statement.fleet}, this host belongs to ${context.fleet}`);
  if (statement.host !== context.host)
    return refuse('wrong_host', `statement for host ${statement.host}, this host is ${context.host}`);
  const issuedMs = Date.parse(statement.issuedAt);
  const expiresMs = Date.parse(statement.expiresAt);
  if (issuedMs > context.nowMs + clockSkewMs) {
    return refuse(
      'clock_skew',
      `issued at ${statement.issuedAt}, the clock of this host says ${new Date(context.nowMs).toISOString()}`,
    );
  }
  if (expiresMs < context.nowMs - clockSkewMs) {
    return refuse(
      'expired',
      `expired at ${statement.expiresAt}, the clock of this host says ${new Date(context.nowMs).toISOString()}`,
    );
  }
  if (statement.sequence < context.lastSequence) {
    return refuse('old_sequence', `sequence ${statement.sequence}, this host has accepted ${context.lastSequence}`);
  }
  return { ok: true };
}

/** What the deployer checks before it stores a signature: it covers exactly this content, by a key it knows. */
export function verifyRelease(
  content: ReleaseContent,
  signed: ReleaseSignature,
  trustedKeys: readonly PublicKey[],
): Verdict {
  const keyName = keyNameOf(signed.signature);
  if (!trustedKeys.some((key) => key.name === keyName)) {
    return refuse(
      'unknown_key',
      `signed by ${keyName}; trusted keys: ${trustedKeys.map((key) => key.name).join(', ') || 'none'}`,
    );
  }
  const id = releaseId(content);
  if (id !== signed.release)
    return refuse('invalid_signature', `the signature is of release ${signed.release}, the content is release ${id}`);
  const text = signedText(content.fleet, id, signed.sequence, signed.treeSize, signed.merkleRoot);
  if (!verifyMessage(trustedKeys, text, signed.signature))
    return refuse('invalid_signature', `the signature of ${keyName} does not verify`);
  statementsWithProofs(content, signed);
  return { ok: true };
}
