import { type Static, Type } from 'typebox';
import { FleetName, HostId, Sha256Hex, SiteId, StorePath, Timestamp, Uuid } from './ids.ts';

/** What a release says of one host. The release key signs a Merkle root over these (RFC 8785 canonical JSON). */
export const HostStatement = Type.Object(
  {
    version: Type.Literal(1),
    fleet: FleetName,
    host: HostId,
    release: Sha256Hex,
    toplevel: StorePath,
    /** SHA-256 over the closure's sorted `path narHash narSize references` lines (libs/nix closure-digest). */
    closureDigest: Sha256Hex,
    issuedAt: Timestamp,
    expiresAt: Timestamp,
    /** Rises with every signing of any release of the fleet; an agent never goes back below what it accepted. */
    sequence: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  },
  { additionalProperties: false },
);
export type HostStatement = Static<typeof HostStatement>;

/** Nix's own signature form: `keyname:base64`. */
export const NixSignature = Type.String({ pattern: '^[^:\\s]{1,128}:[A-Za-z0-9+/]{86}==$' });

/** Audit path of RFC 9162, section 2.1.3, from one statement to the signed root. */
export const InclusionProof = Type.Object(
  {
    leafIndex: Type.Integer({ minimum: 0 }),
    treeSize: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
    path: Type.Array(Sha256Hex, { maxItems: 20 }),
  },
  { additionalProperties: false },
);
export type InclusionProof = Static<typeof InclusionProof>;

/** A statement with what proves it. */
export const SignedStatement = Type.Object(
  { statement: HostStatement, proof: InclusionProof, signature: NixSignature },
  { additionalProperties: false },
);
export type SignedStatement = Static<typeof SignedStatement>;

/** What the key holder signs: made by the CLI, off-line if wanted; stored by the deployer beside the release. */
export const ReleaseSignature = Type.Object(
  {
    release: Sha256Hex,
    sequence: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
    issuedAt: Timestamp,
    expiresAt: Timestamp,
    merkleRoot: Sha256Hex,
    treeSize: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
    signature: NixSignature,
  },
  { additionalProperties: false },
);
export type ReleaseSignature = Static<typeof ReleaseSignature>;

/** One host of a release. */
export const ReleaseHost = Type.Object(
  { host: HostId, toplevel: StorePath, closureDigest: Sha256Hex },
  { additionalProperties: false },
);
export type ReleaseHost = Static<typeof ReleaseHost>;

/**
 * The last message on `nixfleet.intent.v1.<site>.<host>`: what the host should be. `be` carries the proof that the key
 * holder wants it; `return` names the attempt whose confirm or soak window is still open and needs no signature.
 */
const intentHead = {
  version: Type.Literal(1),
  fleet: FleetName,
  site: SiteId,
  host: HostId,
  /** Rises with every intent of the host; of two intents the higher wins, a lower one is ignored. */
  intentSequence: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  attempt: Uuid,
  rollout: Uuid,
  traceId: Type.String({ pattern: '^[0-9a-f]{32}$' }),
};
export const BeIntent = Type.Object(
  {
    ...intentHead,
    verb: Type.Literal('be'),
    signed: SignedStatement,
    cacheUrls: Type.Array(Type.String({ format: 'uri', maxLength: 2048 }), { minItems: 1, maxItems: 16 }),
    confirmDeadlineSeconds: Type.Integer({ minimum: 1, maximum: 86_400 }),
    /** After confirmation the centre may still ask for one return within this time. */
    soakSeconds: Type.Integer({ minimum: 0, maximum: 86_400 }),
  },
  { additionalProperties: false },
);
export type BeIntent = Static<typeof BeIntent>;
export const ReturnIntent = Type.Object(
  { ...intentHead, verb: Type.Literal('return'), ofAttempt: Uuid },
  { additionalProperties: false },
);
export type ReturnIntent = Static<typeof ReturnIntent>;
export const Intent = Type.Union([BeIntent, ReturnIntent]);
export type Intent = Static<typeof Intent>;
