import { type Kysely, sql } from 'kysely';

/** First tables of cache-indexer. See README.md for what each holds. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`CREATE TABLE path (
      store_hash text PRIMARY KEY CHECK (length(store_hash) = 32),
      name text NOT NULL,
      nar_hash text NOT NULL CHECK (length(nar_hash) = 52),
      nar_size bigint NOT NULL CHECK (nar_size > 0),
      deriver text,
      upload uuid NOT NULL,
      added_at timestamptz NOT NULL DEFAULT now(),
      lease_until timestamptz NOT NULL
    )`,
    sql`CREATE INDEX path_nar_hash ON path (nar_hash)`,
    // No foreign key on the target: an edge may lead to a path that is not here.
    sql`CREATE TABLE path_reference (
      referrer_hash text NOT NULL REFERENCES path ON DELETE CASCADE,
      reference_hash text NOT NULL CHECK (length(reference_hash) = 32),
      reference_name text NOT NULL,
      PRIMARY KEY (referrer_hash, reference_hash)
    )`,
    sql`CREATE INDEX path_reference_target ON path_reference (reference_hash)`,
    sql`CREATE TABLE closure (
      toplevel_hash text PRIMARY KEY REFERENCES path ON DELETE CASCADE,
      closure_digest text NOT NULL CHECK (length(closure_digest) = 64),
      path_count integer NOT NULL,
      closure_size_bytes bigint NOT NULL,
      available_at timestamptz NOT NULL DEFAULT now()
    )`,
  ];
  for (const statement of statements) await statement.execute(db);
}
