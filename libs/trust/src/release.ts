import { createHash } from 'node:crypto';
import { type SecretKey, signMessage } from '@nixfleet/nix';
import {
  FleetError,
  type HostStatement,
  type ReleaseHost,
  type ReleaseSignature,
  type SignedStatement,
} from '@nixfleet/schema';
import { canonicalBytes } from './canonical.ts';
import { buildMerkleTree } from './merkle.ts';

/** What a release is: which closure each host of a fleet should be. */
export interface ReleaseContent {
  readonly fleet: string;
  readonly hosts: readonly ReleaseHost[];
}

/** When and in which order a release was signed. A renewal signs the same content with new values. */
export interface SigningTerms {
  readonly sequence: number;
  readonly issuedAt: string;
  readonly expiresAt: string;
}

const byHost = (a: ReleaseHost, b: ReleaseHost): number => (a.host < b.host ? -1 : a.host > b.host ? 1 : 0);

/** Hosts in the order of the tree; refuses an empty release and a host named twice. */
function sortedHosts(content: ReleaseContent): ReleaseHost[] {
  const hosts = content.hosts.toSorted(byHost);
  if (hosts.length === 0) throw new FleetError('invalid_input', 'a release needs at least one host');
  for (const [i, host] of hosts.entries()) {
    if (host.host === hosts[i + 1]?.host)
      throw new FleetError('invalid_input', `host ${host.host} is in the release twice`);
  }
  return hosts;
}

/** SHA-256 hex of the canonical content: the same closures for the same hosts are the same release. */
export function releaseId(content: ReleaseContent): string {
  const hosts = Object.fromEntries(
    sortedHosts(content).map((h) => [h.host, { toplevel: h.toplevel, closureDigest: h.closureDigest }]),
  );
  return createHash('sha256')
    .update(canonicalBytes({ fleet: content.fleet, hosts }))
    .digest('hex');
}

function statementsOf(content: ReleaseContent, release: string, terms: SigningTerms): HostStatement[] {
  return sortedHosts(content).map((host) => ({
    version: 1,
    fleet: content.fleet,
    host: host.host,
    release,
    toplevel: host.toplevel,
    closureDigest: host.closureDigest,
    issuedAt: terms.issuedAt,
    expiresAt: terms.expiresAt,
    sequence: terms.sequence,
  }));
}

/** The text that the release key signs. Everything that a verifier must not take from elsewhere is in it. */
export function signedText(
  fleet: string,
  release: string,
  sequence: number,
  treeSize: number,
  merkleRootHex: string,
): Uint8Array {
  return Buffer.from(`nixfleet release v1\n${fleet}\n${release}\n${sequence}\n${treeSize}\n${merkleRootHex}\n`, 'utf8');
}

/** Signs a release: one signature over the Merkle root of its host statements. */
export function signRelease(content: ReleaseContent, terms: SigningTerms, key: SecretKey): ReleaseSignature {
  if (Date.parse(terms.expiresAt) <= Date.parse(terms.issuedAt)) {
    throw new FleetError(
      'invalid_input',
      `the release would expire (${terms.expiresAt}) before it is issued (${terms.issuedAt})`,
    );
  }
  const release = releaseId(content);
  const tree = buildMerkleTree(statementsOf(content, release, terms).map(canonicalBytes));
  const merkleRoot = tree.root.toString('hex');
  const signature = signMessage(key, signedText(content.fleet, release, terms.sequence, tree.size, merkleRoot));
  return { release, ...terms, merkleRoot, treeSize: tree.size, signature };
}

/**
 * Every host's statement with its proof, recomputed from the stored content. Throws `invalid_signature` when the content
 * does not give the root that was signed. The signature itself is checked by `verifyRelease` and by every agent.
 */
export function statementsWithProofs(content: ReleaseContent, signed: ReleaseSignature): Map<string, SignedStatement> {
  const statements = statementsOf(content, signed.release, signed);
  const tree = buildMerkleTree(statements.map(canonicalBytes));
  if (tree.size !== signed.treeSize || tree.root.toString('hex') !== signed.merkleRoot) {
    throw new FleetError(
      'invalid_signature',
      `the signature of release ${signed.release} is over other hosts or closures than the release has`,
    );
  }
  return new Map(
    statements.map((statement, i) => [
      statement.host,
      { statement, proof: tree.proofOf(i), signature: signed.signature },
    ]),
  );
}
