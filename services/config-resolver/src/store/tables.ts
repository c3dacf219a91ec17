import type { DeclaredJob, FleetFile, RevisionState, System } from '@nixfleet/schema';
import type { ColumnType, Generated } from 'kysely';

type Json<T> = ColumnType<T, string, string>;
type Time = ColumnType<Date, Date | string | undefined, Date | string>;

export interface ResolverTables {
  revision: {
    revision: string;
    fleet: string;
    state: RevisionState;
    host_count: number;
    origin: string | null;
    failure: string | null;
    /** The files as submitted: closures are built from them again whenever they are needed. */
    files: Json<FleetFile[]>;
    created_by: string;
    created_at: Time;
    /** Until when one instance builds it; another one may take over after that. */
    leased_until: ColumnType<Date | null, Date | null | undefined, Date | null>;
    tries: Generated<number>;
    trace_id: string;
  };
  revision_host: {
    revision: string;
    host: string;
    site: string;
    platform: System;
    config: Json<unknown>;
    config_digest: string;
    toplevel: string;
    closure_digest: string;
    path_count: number;
    closure_size_bytes: number;
    jobs: Json<DeclaredJob[]>;
    built: Generated<boolean>;
  };
}
