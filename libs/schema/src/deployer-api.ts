import { type Static, Type } from 'typebox';
import { AttemptReason, AttemptStep } from './agent.ts';
import { RolloutState } from './events.ts';
import { HostSelector, RolloutPolicy } from './fleet.ts';
import { ChannelName, FleetName, HostId, Sha256Hex, SiteId, StorePath, System, Timestamp, Uuid } from './ids.ts';
import { OperatorRole } from './operators.ts';
import { ReleaseHost, ReleaseSignature } from './trust.ts';

/** HTTP bodies of the deployer under `/v1`. */

const Cursor = Type.Optional(Type.String({ maxLength: 256 }));
export const PageQuery = Type.Object(
  { cursor: Cursor, limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })) },
  { additionalProperties: false },
);
export type PageQuery = Static<typeof PageQuery>;

export const CreateRelease = Type.Object(
  {
    fleet: FleetName,
    revision: Sha256Hex,
    hosts: Type.Array(ReleaseHost, { minItems: 1, maxItems: 200_000 }),
    notes: Type.Optional(Type.String({ maxLength: 4000 })),
    signature: Type.Optional(ReleaseSignature),
  },
  { additionalProperties: false },
);
export type CreateRelease = Static<typeof CreateRelease>;

export const ReleaseSummary = Type.Object({
  release: Sha256Hex,
  fleet: FleetName,
  revision: Sha256Hex,
  hostCount: Type.Integer(),
  createdAt: Timestamp,
  createdBy: Type.String(),
  notes: Type.Optional(Type.String()),
  /** The newest signature; absent while nobody has signed. */
  signature: Type.Optional(ReleaseSignature),
});
export type ReleaseSummary = Static<typeof ReleaseSummary>;
export const ReleaseDetail = Type.Object({ ...ReleaseSummary.properties, hosts: Type.Array(ReleaseHost) });
export type ReleaseDetail = Static<typeof ReleaseDetail>;
export const ReleaseList = Type.Object({
  releases: Type.Array(ReleaseSummary),
  nextCursor: Cursor,
  /** The next signature must have a higher one. */
  lastSequence: Type.Integer({ minimum: 0 }),
});
export type ReleaseList = Static<typeof ReleaseList>;

export const CreateRollout = Type.Object(
  {
    release: Type.String({
      pattern: '^[0-9a-f]{8,64}$',
      description: 'Id of the release, or its first 8 characters or more',
    }),
    /** Hosts that follow the channel, by its policy. */
    channel: ChannelName,
    /** Only these of them. */
    select: Type.Optional(HostSelector),
    /** Overrides parts of the channel's policy. */
    policy: Type.Optional(Type.Partial(RolloutPolicy)),
  },
  { additionalProperties: false },
);
export type CreateRollout = Static<typeof CreateRollout>;

export const targetStates = ['queued', 'inFlight', 'converged', 'failed', 'unreachable'] as const;
export const TargetState = Type.Enum(targetStates);
export type TargetState = Static<typeof TargetState>;

export const RolloutTarget = Type.Object({
  host: HostId,
  site: SiteId,
  wave: Type.Integer({ minimum: 0 }),
  state: TargetState,
  step: Type.Optional(AttemptStep),
  reason: Type.Optional(AttemptReason),
  detail: Type.Optional(Type.String()),
  returned: Type.Boolean(),
  dispatchedAt: Type.Optional(Timestamp),
  finishedAt: Type.Optional(Timestamp),
});
export type RolloutTarget = Static<typeof RolloutTarget>;

export const WaveSummary = Type.Object({
  wave: Type.Integer({ minimum: 0 }),
  counts: Type.Record(TargetState, Type.Integer({ minimum: 0 })),
});

export const RolloutSummary = Type.Object({
  rollout: Uuid,
  fleet: FleetName,
  release: Sha256Hex,
  channel: ChannelName,
  state: RolloutState,
  reason: Type.Optional(Type.String()),
  revertPending: Type.Boolean(),
  policy: RolloutPolicy,
  currentWave: Type.Integer({ minimum: 0 }),
  waveCount: Type.Integer({ minimum: 1 }),
  waves: Type.Array(WaveSummary),
  createdAt: Timestamp,
  createdBy: Type.String(),
  updatedAt: Timestamp,
});
export type RolloutSummary = Static<typeof RolloutSummary>;
export const RolloutDetail = Type.Object({ ...RolloutSummary.properties, targets: Type.Array(RolloutTarget) });
export type RolloutDetail = Static<typeof RolloutDetail>;
export const RolloutList = Type.Object({ rollouts: Type.Array(RolloutSummary), nextCursor: Cursor });
export type RolloutList = Static<typeof RolloutList>;

export const DeployerHost = Type.Object({
  host: HostId,
  site: SiteId,
  platform: System,
  role: Type.Optional(Type.String()),
  channel: Type.Optional(ChannelName),
  tags: Type.Array(Type.String()),
  running: Type.Optional(StorePath),
  confirmed: Type.Optional(StorePath),
  confirmedRelease: Type.Optional(Sha256Hex),
  lastReportAt: Type.Optional(Timestamp),
});
export type DeployerHost = Static<typeof DeployerHost>;
export const DeployerHostList = Type.Object({ hosts: Type.Array(DeployerHost), nextCursor: Cursor });
export type DeployerHostList = Static<typeof DeployerHostList>;

export const ChannelList = Type.Object({
  channels: Type.Array(
    Type.Object({ channel: ChannelName, fleet: FleetName, hostCount: Type.Integer(), policy: RolloutPolicy }),
  ),
});
export type ChannelList = Static<typeof ChannelList>;

export const AuditEntry = Type.Object({
  sequence: Type.Integer({ minimum: 1 }),
  at: Timestamp,
  actor: Type.String(),
  action: Type.String(),
  subject: Type.String(),
  detail: Type.Unknown(),
  previousHash: Sha256Hex,
  hash: Sha256Hex,
});
export type AuditEntry = Static<typeof AuditEntry>;
export const AuditList = Type.Object({ entries: Type.Array(AuditEntry), nextCursor: Cursor });
export type AuditList = Static<typeof AuditList>;

export const CreateOperator = Type.Object(
  { name: Type.String({ pattern: '^[a-z0-9][a-z0-9:._-]{0,126}$' }), role: OperatorRole, tokenSha256: Sha256Hex },
  { additionalProperties: false },
);
export type CreateOperator = Static<typeof CreateOperator>;
