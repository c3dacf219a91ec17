import { type Static, type TSchema, Type } from 'typebox';
import { RolloutPolicy } from './fleet.ts';
import { ChannelName, FleetName, HostId, Sha256Hex, SiteId, StorePath, System, Tag, Timestamp, Uuid } from './ids.ts';

/** Short names of the services: the first token of their subjects, the suffix of their stream. */
export const serviceNames = ['resolver', 'deployer', 'cache', 'telemetry'] as const;
export type ServiceName = (typeof serviceNames)[number];

/** What every event carries around its data. */
export const EnvelopeHead = Type.Object({
  id: Uuid,
  type: Type.String({ maxLength: 128 }),
  schemaVersion: Type.Integer({ minimum: 1 }),
  time: Timestamp,
  /** W3C trace id. */
  traceId: Type.String({ pattern: '^[0-9a-f]{32}$' }),
  source: Type.String({ maxLength: 128 }),
});
export interface Envelope<Data> extends Static<typeof EnvelopeHead> {
  readonly data: Data;
}

/** Declares one event: its subject is `nixfleet.<service>.<type>.v<version>.<key…>`. */
export interface EventContract<Data extends TSchema = TSchema> {
  readonly service: ServiceName;
  /** `<noun>-<past-verb>`. */
  readonly type: string;
  readonly version: number;
  readonly data: Data;
  /** Subject tokens after the version, out of the data: never empty, each matches `[a-z0-9-]{1,64}`. */
  readonly key: (data: Static<Data>) => readonly string[];
}

function declareEvent<Data extends TSchema>(contract: EventContract<Data>): EventContract<Data> {
  return contract;
}

/** A job that a host declares; telemetry expects a ping for each run. */
export const DeclaredJob = Type.Object(
  {
    kind: Type.Literal('backup'),
    name: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' }),
    /** OnCalendar expression of the timer. */
    schedule: Type.String({ maxLength: 256 }),
    randomizedDelaySeconds: Type.Integer({ minimum: 0 }),
    timeZone: Type.String({ maxLength: 64 }),
    /** Overrides what telemetry derives from the schedule. */
    timeoutSeconds: Type.Optional(Type.Integer({ minimum: 1 })),
    graceSeconds: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  { additionalProperties: false },
);
export type DeclaredJob = Static<typeof DeclaredJob>;

export const revisionResolved = declareEvent({
  service: 'resolver',
  type: 'revision-resolved',
  version: 1,
  data: Type.Object({
    revision: Sha256Hex,
    fleet: FleetName,
    hostCount: Type.Integer({ minimum: 0 }),
    channels: Type.Record(ChannelName, RolloutPolicy),
    sites: Type.Array(SiteId),
  }),
  key: (d) => [d.fleet, d.revision],
});

export const hostResolved = declareEvent({
  service: 'resolver',
  type: 'host-resolved',
  version: 1,
  data: Type.Object({
    revision: Sha256Hex,
    fleet: FleetName,
    host: HostId,
    site: SiteId,
    channel: Type.Optional(ChannelName),
    platform: System,
    role: Type.Optional(Type.String()),
    tags: Type.Array(Tag, { maxItems: 64 }),
    configDigest: Sha256Hex,
    toplevel: StorePath,
    jobs: Type.Array(DeclaredJob, { maxItems: 100 }),
  }),
  key: (d) => [d.fleet, d.host],
});

/** Published after cache-indexer has committed every path of the closure. */
export const closureBuilt = declareEvent({
  service: 'resolver',
  type: 'closure-built',
  version: 1,
  data: Type.Object({
    revision: Sha256Hex,
    fleet: FleetName,
    host: HostId,
    toplevel: StorePath,
    closureDigest: Sha256Hex,
    pathCount: Type.Integer({ minimum: 1 }),
    closureSizeBytes: Type.Integer({ minimum: 1 }),
  }),
  key: (d) => [d.fleet, d.host],
});

export const pathIndexed = declareEvent({
  service: 'cache',
  type: 'path-indexed',
  version: 1,
  data: Type.Object({ upload: Uuid, storePaths: Type.Array(StorePath, { minItems: 1, maxItems: 500 }) }),
  key: (d) => [d.upload],
});

export const closureAvailable = declareEvent({
  service: 'cache',
  type: 'closure-available',
  version: 1,
  data: Type.Object({
    toplevel: StorePath,
    closureDigest: Sha256Hex,
    pathCount: Type.Integer({ minimum: 1 }),
    closureSizeBytes: Type.Integer({ minimum: 1 }),
  }),
  key: (d) => [d.toplevel.slice(11, 43)],
});

export const releaseCreated = declareEvent({
  service: 'deployer',
  type: 'release-created',
  version: 1,
  data: Type.Object({
    release: Sha256Hex,
    fleet: FleetName,
    revision: Sha256Hex,
    sequence: Type.Integer({ minimum: 1 }),
    hostCount: Type.Integer({ minimum: 1 }),
  }),
  key: (d) => [d.fleet, d.release],
});

export const rolloutStates = ['running', 'paused', 'completed', 'failed', 'cancelled'] as const;
export const RolloutState = Type.Enum(rolloutStates);
export type RolloutState = Static<typeof RolloutState>;

/** Every change of a rollout's state, its start included. */
export const rolloutChanged = declareEvent({
  service: 'deployer',
  type: 'rollout-changed',
  version: 1,
  data: Type.Object({
    rollout: Uuid,
    fleet: FleetName,
    release: Sha256Hex,
    state: RolloutState,
    wave: Type.Integer({ minimum: 0 }),
    reason: Type.Optional(Type.String({ maxLength: 2000 })),
  }),
  key: (d) => [d.rollout],
});

/** What hosts run now; at most 500 hosts an event. */
export const hostsChanged = declareEvent({
  service: 'deployer',
  type: 'hosts-changed',
  version: 1,
  data: Type.Object({
    fleet: FleetName,
    hosts: Type.Array(
      Type.Object({
        host: HostId,
        site: SiteId,
        running: Type.Optional(StorePath),
        confirmed: Type.Optional(StorePath),
        scheduled: Type.Optional(StorePath),
      }),
      { minItems: 1, maxItems: 500 },
    ),
  }),
  key: (d) => [d.fleet],
});

const hostHealth = Type.Object({ host: HostId, site: SiteId, lastSeenAt: Type.Optional(Timestamp) });
export const hostUp = declareEvent({
  service: 'telemetry',
  type: 'host-up',
  version: 1,
  data: hostHealth,
  key: (d) => [d.site, d.host],
});
export const hostDown = declareEvent({
  service: 'telemetry',
  type: 'host-down',
  version: 1,
  data: hostHealth,
  key: (d) => [d.site, d.host],
});

const backupHealth = Type.Object({
  host: HostId,
  site: SiteId,
  job: Type.String(),
  lastSuccessAt: Type.Optional(Timestamp),
  detail: Type.Optional(Type.String({ maxLength: 1000 })),
});
export const backupSucceeded = declareEvent({
  service: 'telemetry',
  type: 'backup-succeeded',
  version: 1,
  data: backupHealth,
  key: (d) => [d.site, d.host],
});
export const backupFailed = declareEvent({
  service: 'telemetry',
  type: 'backup-failed',
  version: 1,
  data: backupHealth,
  key: (d) => [d.site, d.host],
});
export const backupLate = declareEvent({
  service: 'telemetry',
  type: 'backup-late',
  version: 1,
  data: backupHealth,
  key: (d) => [d.site, d.host],
});

/** Every event of the product. A new one is one declaration and one line here. */
export const events = [
  revisionResolved,
  hostResolved,
  closureBuilt,
  pathIndexed,
  closureAvailable,
  releaseCreated,
  rolloutChanged,
  hostsChanged,
  hostUp,
  hostDown,
  backupSucceeded,
  backupFailed,
  backupLate,
] as const satisfies readonly { service: ServiceName; type: string; version: number }[];
