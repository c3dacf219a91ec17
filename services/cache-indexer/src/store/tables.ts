import type { ColumnType } from 'kysely';

/** timestamptz: the database's own clock by default. */
type Time = ColumnType<Date, Date | string | undefined, Date | string>;

export interface CacheTables {
  path: {
    store_hash: string;
    name: string;
    /** nix32 of SHA-256, without `sha256:`. */
    nar_hash: string;
    nar_size: number;
    /** Base name. */
    deriver: string | null;
    upload: string;
    added_at: Time;
    /** Garbage collection keeps the path and its closure until then. */
    lease_until: Time;
  };
  path_reference: { referrer_hash: string; reference_hash: string; reference_name: string };
  closure: {
    toplevel_hash: string;
    closure_digest: string;
    path_count: number;
    closure_size_bytes: number;
    available_at: Time;
  };
}
