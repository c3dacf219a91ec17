import { type Kysely, sql } from 'kysely';

/** First tables of config-resolver. See README.md for what each holds. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`CREATE TABLE revision (
      revision text PRIMARY KEY,
      fleet text NOT NULL,
      state text NOT NULL CHECK (state IN ('building', 'built', 'failed')),
      host_count integer NOT NULL,
      origin text,
      failure text,
      files jsonb NOT NULL,
      created_by text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      leased_until timestamptz,
      tries integer NOT NULL DEFAULT 0,
      trace_id text NOT NULL
    )`,
    sql`CREATE INDEX revision_building ON revision (created_at) WHERE state = 'building'`,
    sql`CREATE INDEX revision_newest ON revision (created_at DESC)`,
    sql`CREATE TABLE revision_host (
      revision text NOT NULL REFERENCES revision,
      host text NOT NULL,
      site text NOT NULL,
      platform text NOT NULL,
      config jsonb NOT NULL,
      config_digest text NOT NULL,
      toplevel text NOT NULL,
      closure_digest text NOT NULL,
      path_count integer NOT NULL,
      closure_size_bytes bigint NOT NULL,
      jobs jsonb NOT NULL,
      built boolean NOT NULL DEFAULT false,
      PRIMARY KEY (revision, host)
    )`,
  ];
  for (const statement of statements) await statement.execute(db);
}
