import { type Static, Type } from 'typebox';
import { HostId, SiteId, StorePath, Timestamp, Uuid } from './ids.ts';

/** HTTP bodies of telemetry under `/v1`. */

/** new: declared, never heard of. late: a heartbeat is overdue. down: several are. */
export const hostHealthStates = ['new', 'up', 'late', 'down'] as const;
export const HostHealthState = Type.Enum(hostHealthStates);
export type HostHealthState = Static<typeof HostHealthState>;

export const HostHealth = Type.Object({
  host: HostId,
  site: SiteId,
  state: HostHealthState,
  lastSeenAt: Type.Optional(Timestamp),
  agentVersion: Type.Optional(Type.String()),
  toplevel: Type.Optional(StorePath),
});
export type HostHealth = Static<typeof HostHealth>;
export const HostHealthList = Type.Object({ hosts: Type.Array(HostHealth), nextCursor: Type.Optional(Type.String()) });
export type HostHealthList = Static<typeof HostHealthList>;

/** new: declared, never reported. late: no success by the deadline. failing: the last run failed. */
export const backupStates = ['new', 'up', 'late', 'failing'] as const;
export const BackupState = Type.Enum(backupStates);
export type BackupState = Static<typeof BackupState>;

export const Backup = Type.Object({
  host: HostId,
  site: SiteId,
  job: Type.String(),
  schedule: Type.String(),
  state: BackupState,
  running: Type.Boolean(),
  lastSuccessAt: Type.Optional(Timestamp),
  lastFailureAt: Type.Optional(Timestamp),
  /** After this moment the job is late. */
  nextDeadlineAt: Timestamp,
  /** Of the last run that finished and whose start was reported. */
  lastDurationSeconds: Type.Optional(Type.Number({ minimum: 0 })),
});
export type Backup = Static<typeof Backup>;
export const BackupList = Type.Object({ backups: Type.Array(Backup), nextCursor: Type.Optional(Type.String()) });
export type BackupList = Static<typeof BackupList>;

export const BackupRun = Type.Object({
  run: Uuid,
  startedAt: Type.Optional(Timestamp),
  finishedAt: Type.Optional(Timestamp),
  outcome: Type.Enum(['running', 'succeeded', 'failed']),
  exitStatus: Type.Optional(Type.Integer({ minimum: 0, maximum: 255 })),
  body: Type.Optional(Type.String()),
});
export type BackupRun = Static<typeof BackupRun>;
export const BackupDetail = Type.Object({
  ...Backup.properties,
  runs: Type.Array(BackupRun),
  /** A bearer secret: whoever has it can report for the job. */
  pingUrl: Type.String(),
});
export type BackupDetail = Static<typeof BackupDetail>;
