import { type Kysely, sql } from 'kysely';

/** First tables of telemetry. See README.md for what each holds. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`CREATE TABLE host (
      host text PRIMARY KEY,
      site text NOT NULL,
      state text NOT NULL CHECK (state IN ('new', 'up', 'late', 'down')),
      last_seen_at timestamptz,
      interval_seconds integer,
      agent_version text,
      boot_id uuid,
      toplevel text
    )`,
    sql`CREATE INDEX host_watched ON host (last_seen_at) WHERE state IN ('up', 'late')`,
    sql`CREATE TABLE backup_job (
      host text NOT NULL,
      job text NOT NULL,
      site text NOT NULL,
      schedule text NOT NULL,
      timeout_seconds integer NOT NULL,
      grace_seconds integer NOT NULL,
      ping_key uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
      state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'up', 'late', 'failing')),
      last_success_at timestamptz,
      last_success_start_at timestamptz,
      last_failure_at timestamptz,
      last_kind text,
      last_ping_at timestamptz,
      next_deadline_at timestamptz NOT NULL,
      PRIMARY KEY (host, job)
    )`,
    sql`CREATE INDEX backup_job_deadline ON backup_job (next_deadline_at) WHERE state IN ('new', 'up')`,
    sql`CREATE TABLE backup_run (
      host text NOT NULL,
      job text NOT NULL,
      run uuid NOT NULL,
      started_at timestamptz,
      finished_at timestamptz,
      outcome text NOT NULL CHECK (outcome IN ('running', 'succeeded', 'failed')),
      exit_status integer,
      body text,
      PRIMARY KEY (host, job, run),
      FOREIGN KEY (host, job) REFERENCES backup_job ON DELETE CASCADE
    )`,
    sql`CREATE INDEX backup_run_newest ON backup_run (host, job, (coalesce(finished_at, started_at)) DESC)`,
  ];
  for (const statement of statements) await statement.execute(db);
}
