import type { BackupState, HostHealthState } from '@nixfleet/schema';
import type { ColumnType, Generated } from 'kysely';
import type { PingKind } from '../core/pings.ts';

type OptionalTime = ColumnType<Date | null, Date | null | undefined, Date | null>;

export interface TelemetryTables {
  host: {
    host: string;
    site: string;
    state: HostHealthState;
    last_seen_at: OptionalTime;
    interval_seconds: number | null;
    agent_version: string | null;
    boot_id: string | null;
    toplevel: string | null;
  };
  backup_job: {
    host: string;
    job: string;
    site: string;
    schedule: string;
    timeout_seconds: number;
    grace_seconds: number;
    /** Secret: the last part of the job's ping URL. */
    ping_key: Generated<string>;
    state: Generated<BackupState>;
    last_success_at: OptionalTime;
    last_success_start_at: OptionalTime;
    last_failure_at: OptionalTime;
    last_kind: PingKind | null;
    last_ping_at: OptionalTime;
    next_deadline_at: ColumnType<Date, Date, Date>;
  };
  backup_run: {
    host: string;
    job: string;
    run: string;
    started_at: OptionalTime;
    finished_at: OptionalTime;
    outcome: 'running' | 'succeeded' | 'failed';
    exit_status: number | null;
    body: string | null;
  };
}
