import type {
  AttemptReason,
  AttemptStep,
  CheckResult,
  RolloutPolicy,
  RolloutState,
  System,
  TargetState,
} from '@nixfleet/schema';
import type { ColumnType, Generated } from 'kysely';

/** jsonb: written as text, read back parsed. */
type Json<T> = ColumnType<T, string, string>;
/** timestamptz: the database's own clock by default. */
type Time = ColumnType<Date, Date | string | undefined, Date | string>;
type OptionalTime = ColumnType<Date | null, Date | string | null | undefined, Date | string | null>;

export interface DeployerTables {
  /** Sites that hosts have left, where an intent of theirs may still be. */
  stale_intent: { host: string; site: string };
  revision: {
    revision: string;
    fleet: string;
    host_count: number;
    channels: Json<Record<string, RolloutPolicy>>;
    received_at: Time;
  };
  host: {
    fleet: string;
    host: string;
    site: string;
    platform: System;
    role: string | null;
    channel: string | null;
    tags: string[];
    revision: string;
    intent_sequence: Generated<number>;
    running_toplevel: string | null;
    confirmed_toplevel: string | null;
    confirmed_release: string | null;
    generation: number | null;
    last_report_at: OptionalTime;
  };
  built_closure: {
    revision: string;
    host: string;
    toplevel: string;
    closure_digest: string;
    path_count: number;
    closure_size_bytes: number;
  };
  release: {
    release: string;
    fleet: string;
    revision: string;
    host_count: number;
    notes: string | null;
    created_by: string;
    created_at: Time;
  };
  release_host: { release: string; host: string; toplevel: string; closure_digest: string };
  release_signature: {
    fleet: string;
    sequence: number;
    release: string;
    issued_at: string;
    expires_at: string;
    merkle_root: string;
    tree_size: number;
    signature: string;
    created_by: string;
    created_at: Time;
  };
  rollout: {
    rollout: string;
    fleet: string;
    release: string;
    sequence: number;
    channel: string;
    policy: Json<RolloutPolicy>;
    state: RolloutState;
    reason: string | null;
    revert_pending: boolean;
    current_wave: number;
    wave_count: number;
    soak_started_at: OptionalTime;
    accepted_failures: number;
    trace_id: string;
    created_by: string;
    created_at: Time;
    updated_at: Time;
  };
  rollout_target: {
    rollout: string;
    host: string;
    site: string;
    wave: number;
    state: TargetState;
    /** True while the rollout owns the host: at most one such row a host. */
    owns_host: boolean;
    attempt: string | null;
    return_attempt: string | null;
  };
  attempt: {
    attempt: string;
    rollout: string;
    host: string;
    verb: 'be' | 'return';
    step: AttemptStep | null;
    report_sequence: Generated<number>;
    reason: AttemptReason | null;
    detail: string | null;
    checks: Json<CheckResult[]> | null;
    dispatched_at: Time;
    finished_at: OptionalTime;
  };
  operator: { token_sha256: string; name: string; role: 'readonly' | 'deploy' | 'admin'; created_at: Time };
  audit: {
    sequence: number;
    at: string;
    actor: string;
    action: string;
    subject: string;
    detail: Json<unknown>;
    previous_hash: string;
    hash: string;
  };
}
