import { setTimeout as sleep } from 'node:timers/promises';
import { AckPolicy, type Consumer, DeliverPolicy, type JsMsg, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import { deadLetterSubject, errorCodes, FleetError, type ServiceName } from '@nixfleet/schema';
import type { Bus } from './bus.ts';
import { isConnectionError } from './database.ts';
import type { DeadLetters } from './dead-letters.ts';
import type { Logger } from './logger.ts';
import type { ServiceMetrics } from './metrics.ts';

/** What durable consumers share: being made, fetching batches, and what becomes of a message that can't be handled. */

export interface ConsumerDeps {
  readonly service: ServiceName;
  readonly bus: Bus;
  readonly log: Logger;
  readonly metrics: ServiceMetrics;
  readonly deadLetters: DeadLetters;
}

export interface ConsumerOptions {
  readonly stream: string;
  readonly filter: string;
  readonly consumer: string;
  readonly maxMessages: number;
  /** How long a batch that is not full waits for more, ms: for messages that come by the thousand. */
  readonly lingerMs?: number;
}

const nanosPerMs = 1_000_000;
/**
 * How long what a killed instance had in hand stays undone. A handler that takes longer gets its message twice, which
 * inbox and monotonic reports bear.
 */
const ackWaitMs = 15_000;
/** How long one fetch waits for the first message. */
const fetchWaitMs = 5000;
/** A message whose handler failed without a known cause is tried this often, then put aside. */
const maxTries = 6;
const retryDelayMs = 1000;
const stopTimeoutMs = 5000;

async function openConsumer(bus: Bus, options: ConsumerOptions): Promise<Consumer> {
  const nc = await bus.connection();
  const manager = await jetstreamManager(nc);
  await manager.consumers.add(options.stream, {
    durable_name: options.consumer,
    filter_subject: options.filter,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    ack_wait: ackWaitMs * nanosPerMs,
    max_ack_pending: Math.max(1000, options.maxMessages * 4),
  });
  return jetstream(nc).consumers.get(options.stream, options.consumer);
}

/** Waits for one message; the signal ends the wait at once. */
async function nextMessage(consumer: Consumer, signal: AbortSignal): Promise<JsMsg | undefined> {
  const messages = await consumer.fetch({ max_messages: 1, expires: fetchWaitMs });
  const close = (): void => void messages.close();
  signal.addEventListener('abort', close);
  try {
    if (signal.aborted) close();
    for await (const message of messages) return message;
    return undefined;
  } finally {
    signal.removeEventListener('abort', close);
  }
}

/** Waits for the first message, then takes what else is there, without waiting for a full batch. */
async function fetchBatch(
  consumer: Consumer,
  { maxMessages, lingerMs = 0 }: ConsumerOptions,
  signal: AbortSignal,
): Promise<JsMsg[]> {
  const first = await nextMessage(consumer, signal);
  if (first === undefined) return [];
  const batch = [first];
  let { pending } = first.info;
  if (lingerMs > 0 && pending < maxMessages - 1) {
    await sleep(lingerMs, undefined, { signal }).catch(() => undefined);
    pending = (await consumer.info()).num_pending;
  }
  const more = Math.min(maxMessages - 1, pending);
  if (more > 0 && !signal.aborted) {
    const messages = await consumer.fetch({ max_messages: more, expires: 1000 });
    for await (const message of messages) batch.push(message);
  }
  return batch;
}

/** What is to become of a message after `error`: errors of the outside pass, contract errors never do. */
export function outcomeOf(error: unknown, deliveryCount: number): 'retry' | 'dead-letter' {
  if (error instanceof FleetError) return errorCodes[error.code].outcome;
  if (isConnectionError(error)) return 'retry';
  return deliveryCount >= maxTries ? 'dead-letter' : 'retry';
}

/** Puts a message aside with the reason, then takes it off the consumer; it stays in its stream. */
async function putAside(deps: ConsumerDeps, consumer: string, message: JsMsg, error: unknown): Promise<void> {
  const head = headers();
  head.set('Nixfleet-Subject', message.subject);
  head.set('Nixfleet-Stream-Sequence', String(message.info.streamSequence));
  head.set(
    'Nixfleet-Reason',
    (error instanceof Error ? error.message : String(error)).replaceAll(/[\r\n]+/g, ' ').slice(0, 1000),
  );
  const js = jetstream(await deps.bus.connection());
  await js.publish(deadLetterSubject(deps.service, consumer), message.data, {
    headers: head,
    msgID: `${consumer}:${message.info.stream}:${message.info.streamSequence}`,
  });
  message.term('dead letter');
  deps.metrics.deadLetters.inc({ consumer });
  deps.log.error({ err: error, subject: message.subject, consumer }, 'a message was put aside as a dead letter');
}

/** Settles a message after its handler threw. */
export async function settleFailure(
  deps: ConsumerDeps,
  consumer: string,
  message: JsMsg,
  error: unknown,
): Promise<void> {
  const outcome = outcomeOf(error, message.info.deliveryCount);
  deps.metrics.messages.inc({ consumer, outcome });
  if (outcome === 'dead-letter') return putAside(deps, consumer, message, error);
  deps.log.warn({ err: error, subject: message.subject, consumer }, 'a message could not be handled, trying again');
  message.nak(retryDelayMs);
}

/**
 * Runs a durable pull consumer until disposed: batches of what is there, handed to `handle`, which settles each message.
 * Survives the server, the stream and the consumer going away.
 */
export function runConsumer(
  deps: ConsumerDeps,
  options: ConsumerOptions,
  handle: (batch: readonly JsMsg[]) => Promise<void>,
): AsyncDisposable {
  const stop = new AbortController();
  const stopped = new Promise<void>((resolve) => {
    stop.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const run = async (): Promise<void> => {
    let consumer: Consumer | undefined;
    await Promise.race([deps.bus.connection(), stopped]);
    while (!stop.signal.aborted) {
      try {
        consumer ??= await openConsumer(deps.bus, options);
        const batch = await fetchBatch(consumer, options, stop.signal);
        if (batch.length > 0) await handle(batch);
      } catch (error) {
        if (stop.signal.aborted) return;
        consumer = undefined;
        deps.log.warn({ err: error, consumer: options.consumer }, 'the consumer stumbled, opening it again');
        await sleep(retryDelayMs * (0.5 + Math.random()), undefined, { signal: stop.signal }).catch(() => undefined);
      }
    }
  };
  // Rejects only when the bus is closed before it ever was connected.
  const running = run().catch(() => undefined);
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      // What is in hand is finished; a server that went away must not hold us beyond that.
      await Promise.race([running, sleep(stopTimeoutMs, undefined, { ref: false })]);
    },
  };
}
