import { type Kysely, sql } from 'kysely';

/** First tables of the deployer. See README.md for what each holds. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`CREATE TABLE revision (
      revision text PRIMARY KEY,
      fleet text NOT NULL,
      host_count integer NOT NULL,
      channels jsonb NOT NULL,
      received_at timestamptz NOT NULL DEFAULT now()
    )`,
    sql`CREATE TABLE host (
      fleet text NOT NULL,
      host text NOT NULL,
      site text NOT NULL,
      platform text NOT NULL,
      role text,
      channel text,
      tags text[] NOT NULL,
      revision text NOT NULL,
      intent_sequence bigint NOT NULL DEFAULT 0,
      running_toplevel text,
      confirmed_toplevel text,
      confirmed_release text,
      generation integer,
      last_report_at timestamptz,
      PRIMARY KEY (host)
    )`,
    sql`CREATE TABLE stale_intent (
      host text NOT NULL,
      site text NOT NULL,
      PRIMARY KEY (host, site)
    )`,
    sql`CREATE INDEX host_channel ON host (fleet, channel, host)`,
    sql`CREATE TABLE built_closure (
      revision text NOT NULL,
      host text NOT NULL,
      toplevel text NOT NULL,
      closure_digest text NOT NULL,
      path_count integer NOT NULL,
      closure_size_bytes bigint NOT NULL,
      PRIMARY KEY (revision, host)
    )`,
    sql`CREATE TABLE release (
      release text PRIMARY KEY,
      fleet text NOT NULL,
      revision text NOT NULL,
      host_count integer NOT NULL,
      notes text,
      created_by text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now()
    )`,
    sql`CREATE TABLE release_host (
      release text NOT NULL REFERENCES release,
      host text NOT NULL,
      toplevel text NOT NULL,
      closure_digest text NOT NULL,
      PRIMARY KEY (release, host)
    )`,
    sql`CREATE TABLE release_signature (
      fleet text NOT NULL,
      sequence bigint NOT NULL,
      release text NOT NULL REFERENCES release,
      issued_at text NOT NULL,
      expires_at text NOT NULL,
      merkle_root text NOT NULL,
      tree_size integer NOT NULL,
      signature text NOT NULL,
      created_by text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (fleet, sequence)
    )`,
    sql`CREATE INDEX release_signature_release ON release_signature (release, sequence DESC)`,
    sql`CREATE TABLE rollout (
      rollout uuid PRIMARY KEY,
      fleet text NOT NULL,
      release text NOT NULL REFERENCES release,
      sequence bigint NOT NULL,
      channel text NOT NULL,
      policy jsonb NOT NULL,
      state text NOT NULL CHECK (state IN ('running', 'paused', 'completed', 'failed', 'cancelled')),
      reason text,
      revert_pending boolean NOT NULL DEFAULT false,
      current_wave integer NOT NULL DEFAULT 0,
      wave_count integer NOT NULL,
      soak_started_at timestamptz,
      accepted_failures integer NOT NULL DEFAULT 0,
      trace_id text NOT NULL,
      created_by text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now()
    )`,
    sql`CREATE INDEX rollout_open ON rollout (rollout) WHERE state IN ('running', 'paused') OR revert_pending`,
    sql`CREATE TABLE rollout_target (
      rollout uuid NOT NULL REFERENCES rollout,
      host text NOT NULL,
      site text NOT NULL,
      wave integer NOT NULL,
      state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'inFlight', 'converged', 'failed', 'unreachable')),
      owns_host boolean NOT NULL DEFAULT true,
      attempt uuid,
      return_attempt uuid,
      PRIMARY KEY (rollout, host)
    )`,
    sql`CREATE INDEX rollout_target_wave ON rollout_target (rollout, wave, state)`,
    sql`CREATE UNIQUE INDEX rollout_target_owner ON rollout_target (host) WHERE owns_host`,
    sql`CREATE TABLE attempt (
      attempt uuid PRIMARY KEY,
      rollout uuid NOT NULL REFERENCES rollout,
      host text NOT NULL,
      verb text NOT NULL CHECK (verb IN ('be', 'return')),
      step text,
      report_sequence integer NOT NULL DEFAULT 0,
      reason text,
      detail text,
      checks jsonb,
      dispatched_at timestamptz NOT NULL DEFAULT now(),
      finished_at timestamptz
    )`,
    sql`CREATE INDEX attempt_rollout ON attempt (rollout, host)`,
    sql`CREATE TABLE operator (
      token_sha256 text PRIMARY KEY,
      name text NOT NULL,
      role text NOT NULL CHECK (role IN ('readonly', 'deploy', 'admin')),
      created_at timestamptz NOT NULL DEFAULT now()
    )`,
    sql`CREATE TABLE audit (
      sequence bigint PRIMARY KEY,
      at text NOT NULL,
      actor text NOT NULL,
      action text NOT NULL,
      subject text NOT NULL,
      detail jsonb NOT NULL,
      previous_hash text NOT NULL,
      hash text NOT NULL
    )`,
  ];
  for (const statement of statements) await statement.execute(db);
}
