import { type Kysely, sql } from 'kysely';

/** What every service's schema has: the outbox of messages to send and the inbox of events handled. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id text NOT NULL,
    subject text NOT NULL,
    payload text NOT NULL
  )`.execute(db);
  await sql`CREATE TABLE inbox (
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
  )`.execute(db);
  await sql`CREATE INDEX inbox_handled_at ON inbox (handled_at)`.execute(db);
}
