import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { jetstream } from '@nats-io/jetstream';
import { type EventContract, eventSubject, FleetError } from '@nixfleet/schema';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Static, TSchema } from 'typebox';
import type { Bus } from './bus.ts';
import type { Database } from './database.ts';
import { encodeEnvelope } from './envelope.ts';
import type { Logger } from './logger.ts';
import type { ServiceMetrics } from './metrics.ts';

export interface OutgoingMessage {
  /** JetStream drops a second message with the same id. */
  readonly id: string;
  readonly subject: string;
  readonly payload: string;
}

/** Writes messages to the outbox: they are sent when, and only when, the transaction commits. */
export async function enqueueMessages<Tables>(
  tx: Transaction<Tables>,
  messages: readonly OutgoingMessage[],
): Promise<void> {
  if (messages.length === 0) return;
  await sql`INSERT INTO outbox (message_id, subject, payload)
    SELECT * FROM unnest(${messages.map((m) => m.id)}::text[], ${messages.map((m) => m.subject)}::text[], ${messages.map((m) => m.payload)}::text[])`.execute(
    tx,
  );
}

export interface PublishOptions {
  /** W3C trace id of what caused the event. */
  readonly traceId: string;
}

/** Writes events of one kind to the outbox. */
export async function publishEvents<Tables, Data extends TSchema>(
  tx: Transaction<Tables>,
  contract: EventContract<Data>,
  list: readonly Static<Data>[],
  options: PublishOptions,
): Promise<void> {
  const messages = list.map((data) => {
    const id = randomUUID();
    const envelope = {
      id,
      type: contract.type,
      schemaVersion: contract.version,
      time: new Date().toISOString(),
      traceId: options.traceId,
      source: contract.service,
      data,
    };
    return { id, subject: eventSubject(contract, data), payload: encodeEnvelope(contract, envelope) };
  });
  await enqueueMessages(tx, messages);
}

/** Writes one event to the outbox. */
export const publishEvent = <Tables, Data extends TSchema>(
  tx: Transaction<Tables>,
  contract: EventContract<Data>,
  data: Static<Data>,
  options: PublishOptions,
): Promise<void> => publishEvents(tx, contract, [data], options);

export interface RelayDeps<Tables> {
  readonly db: Database<Tables>;
  readonly bus: Bus;
  readonly log: Logger;
  readonly metrics: ServiceMetrics;
}

const batchSize = 2000;
const idleMs = 1000;
const publishTimeoutMs = 10_000;
const maxBackOffMs = 5000;

/**
 * The client makes two errors with stack traces for each request before it sends it, a sixth of the time that sending
 * takes; the traces would only name this file.
 */
function withoutStackTraces<T>(work: () => T): T {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return work();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/** Sends one batch; returns how many. Rows are deleted in the transaction that claimed them, after the stream has them. */
async function relayBatch<Tables>({ db, bus, metrics }: RelayDeps<Tables>): Promise<number> {
  const nc = await bus.connection();
  // No row is locked, and nothing piles up in the client, while there is no server to take it.
  if (!bus.connected) throw new FleetError('unavailable', 'NATS is not connected');
  const js = jetstream(nc, { timeout: publishTimeoutMs });
  return (db.kysely as Kysely<unknown>).transaction().execute(async (tx) => {
    const { rows } = await sql<{ id: number; message_id: string; subject: string; payload: string }>`
      SELECT id, message_id, subject, payload FROM outbox ORDER BY id LIMIT ${batchSize} FOR UPDATE SKIP LOCKED`.execute(
      tx,
    );
    metrics.outboxPending.set(rows.length);
    if (rows.length === 0) return 0;
    // All on one connection, so the stream gets them in this order; a repeat after a failure is dropped by its id.
    await Promise.all(
      withoutStackTraces(() => rows.map((row) => js.publish(row.subject, row.payload, { msgID: row.message_id }))),
    );
    await sql`DELETE FROM outbox WHERE id = ANY(${rows.map((row) => row.id)}::bigint[])`.execute(tx);
    metrics.outboxSent.inc(rows.length);
    return rows.length;
  });
}

/** Relays the outbox until disposed; several instances share it by row locks. Disposing sends what is committed first. */
export function startOutboxRelay<Tables>(deps: RelayDeps<Tables>): AsyncDisposable {
  const stop = new AbortController();
  let wake = Promise.withResolvers<void>();
  deps.db.onCommit(() => wake.resolve());
  const run = async (): Promise<void> => {
    await Promise.all([deps.db.ready, deps.bus.connection()]);
    let failures = 0;
    while (!stop.signal.aborted) {
      wake = Promise.withResolvers<void>();
      try {
        const sent = await relayBatch(deps);
        failures = 0;
        if (sent === 0)
          await Promise.race([wake.promise, sleep(idleMs, undefined, { signal: stop.signal }).catch(() => undefined)]);
      } catch (error) {
        if (stop.signal.aborted) return;
        failures += 1;
        deps.log.warn({ err: error }, 'the outbox could not be relayed, trying again');
        await sleep(Math.min(maxBackOffMs, 100 * 2 ** failures), undefined, { signal: stop.signal }).catch(
          () => undefined,
        );
      }
    }
  };
  const running = run().catch((error: unknown) => {
    if (!stop.signal.aborted) deps.log.error({ err: error }, 'the outbox relay has ended');
  });
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      wake.resolve();
      // Before the first connection there is nothing under way.
      if (!deps.bus.connected) return;
      await running;
      while ((await relayBatch(deps).catch(() => 0)) > 0);
    },
  };
}
