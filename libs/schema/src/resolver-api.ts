import { type Static, Type } from 'typebox';
import { FleetName, HostId, Sha256Hex, SiteId, StorePath, System, Timestamp } from './ids.ts';

/** HTTP bodies of config-resolver under `/v1`. */

/** A fleet directory as text: `fleet.yaml`, `hosts/…`, `scopes/…`. */
export const FleetFile = Type.Object(
  {
    path: Type.String({
      minLength: 1,
      maxLength: 512,
      pattern: '^[A-Za-z0-9_][A-Za-z0-9_./-]*$',
      description: 'Relative to the fleet directory',
    }),
    content: Type.String({ maxLength: 4 * 1024 * 1024 }),
  },
  { additionalProperties: false },
);
export type FleetFile = Static<typeof FleetFile>;

export const SubmitRevision = Type.Object(
  {
    files: Type.Array(FleetFile, { minItems: 1, maxItems: 20_000 }),
    origin: Type.Optional(Type.String({ maxLength: 512, description: 'Where it comes from: a git revision, say' })),
  },
  { additionalProperties: false },
);
export type SubmitRevision = Static<typeof SubmitRevision>;

/** resolved: every host evaluated. building: closures are being uploaded. built: cache-indexer holds all of them. */
export const revisionStates = ['building', 'built', 'failed'] as const;
export const RevisionState = Type.Enum(revisionStates);
export type RevisionState = Static<typeof RevisionState>;

export const RevisionHost = Type.Object({
  host: HostId,
  site: SiteId,
  platform: System,
  toplevel: StorePath,
  closureDigest: Sha256Hex,
  pathCount: Type.Integer(),
  closureSizeBytes: Type.Integer(),
  built: Type.Boolean(),
});
export type RevisionHost = Static<typeof RevisionHost>;

export const RevisionSummary = Type.Object({
  revision: Sha256Hex,
  fleet: FleetName,
  state: RevisionState,
  hostCount: Type.Integer(),
  builtCount: Type.Integer(),
  createdAt: Timestamp,
  createdBy: Type.String(),
  origin: Type.Optional(Type.String()),
  failure: Type.Optional(Type.String()),
});
export type RevisionSummary = Static<typeof RevisionSummary>;

export const RevisionDetail = Type.Object({ ...RevisionSummary.properties, hosts: Type.Array(RevisionHost) });
export type RevisionDetail = Static<typeof RevisionDetail>;

export const RevisionList = Type.Object({
  revisions: Type.Array(RevisionSummary),
  nextCursor: Type.Optional(Type.String()),
});
export type RevisionList = Static<typeof RevisionList>;
