import { setTimeout as sleep } from 'node:timers/promises';
import { FleetError, Heartbeat, heartbeatFilter, heartbeatSubject, hostUp } from '@nixfleet/schema';
import { type Bus, type Database, type Logger, publishEvents } from '@nixfleet/service';
import { Compile } from 'typebox/compile';
import { applyHeartbeats } from '../store/hosts.ts';
import type { TelemetryTables } from '../store/tables.ts';

const validator = Compile(Heartbeat);
const flushMs = 250;
/** Heartbeats of 100,000 hosts fit; beyond it the oldest go: the next one of each host says the same. */
const maxWaiting = 100_000;
const maxBatch = 1000;

/** The subject is what NATS let the agent publish: a heartbeat that speaks for another host is refused. */
export function decodeHeartbeat(message: { readonly subject: string; readonly data: Uint8Array }): Heartbeat {
  const value: unknown = JSON.parse(Buffer.from(message.data).toString('utf8'));
  if (!validator.Check(value) || heartbeatSubject(value.site, value.host) !== message.subject)
    throw new FleetError('invalid_input', `${message.subject}: not a heartbeat of this host`);
  return value;
}

export interface HeartbeatDeps {
  readonly db: Database<TelemetryTables>;
  readonly bus: Bus;
  readonly log: Logger;
  readonly onHeartbeats: (outcome: 'applied' | 'refused' | 'dropped', count: number) => void;
}

async function write(db: Database<TelemetryTables>, beats: readonly Heartbeat[]): Promise<void> {
  await db.transaction(async (tx) => {
    const cameUp = await applyHeartbeats(tx, beats, new Date());
    const events = cameUp.map(({ host, site, lastSeenAt }) => ({
      host,
      site,
      ...(lastSeenAt === null ? {} : { lastSeenAt: lastSeenAt.toISOString() }),
    }));
    await publishEvents(tx, hostUp, events, { traceId: '0'.repeat(32) });
  });
}

/** Takes heartbeats from NATS (instances share them by a queue group) and writes them by the batch. */
export function startHeartbeats({ db, bus, log, onHeartbeats }: HeartbeatDeps): AsyncDisposable {
  const stop = new AbortController();
  let waiting: Heartbeat[] = [];
  const flush = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, maxBatch);
      try {
        await write(db, batch);
        onHeartbeats('applied', batch.length);
      } catch (error) {
        // Not kept: by the time Postgres is back each host has sent a newer one.
        onHeartbeats('dropped', batch.length);
        log.warn({ err: error }, 'heartbeats could not be stored');
        return;
      }
    }
  };
  const run = async (): Promise<void> => {
    const [nc] = await Promise.all([bus.connection(), db.ready]);
    nc.subscribe(heartbeatFilter, {
      queue: 'telemetry',
      callback: (error, message) => {
        if (error !== null || stop.signal.aborted) return;
        try {
          waiting.push(decodeHeartbeat(message));
          if (waiting.length > maxWaiting) waiting = waiting.slice(-maxWaiting);
        } catch {
          onHeartbeats('refused', 1);
        }
      },
    });
    while (!stop.signal.aborted) {
      await flush();
      await sleep(flushMs, undefined, { signal: stop.signal }).catch(() => undefined);
    }
    await flush();
  };
  const running = run().catch((error: unknown) => {
    if (!stop.signal.aborted) log.error({ err: error }, 'heartbeats can not be taken');
  });
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.race([running, sleep(2000, undefined, { ref: false })]);
    },
  };
}
