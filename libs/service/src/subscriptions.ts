import type { JsMsg } from '@nats-io/jetstream';
import { type Envelope, type EventContract, eventFilter, FleetError, streamOf } from '@nixfleet/schema';
import type { Transaction } from 'kysely';
import type { Static, TSchema } from 'typebox';
import { type ConsumerDeps, outcomeOf, runConsumer, settleFailure } from './consumers.ts';
import type { Database } from './database.ts';
import { decodeEnvelope } from './envelope.ts';
import { claimInbox, startInboxPruning } from './inbox.ts';

/** A reaction to one kind of event: the inbox row and the effect are one transaction, so a redelivery does nothing. */
export interface Subscription<Tables, Contract> {
  readonly event: Contract;
  /** `<service>-<reaction>`; instances of a service share it. */
  readonly consumer: string;
  readonly handle: (
    tx: Transaction<Tables>,
    envelope: Contract extends EventContract<infer Data extends TSchema> ? Envelope<Static<Data>> : never,
  ) => Promise<void>;
}

/** Ties the handler's types to its event. */
export const defineSubscription = <Tables, Contract>(
  subscription: Subscription<Tables, Contract>,
): Subscription<Tables, Contract> => subscription;

export interface SubscriptionDeps<Tables> extends ConsumerDeps {
  readonly db: Database<Tables>;
  /** Called after an event's effect is committed. */
  readonly onHandled?: (consumer: string) => void;
}

/** Events handled one after another within a consumer: their order is kept. */
const maxMessages = 100;

export function startSubscription<Tables, Data extends TSchema>(
  deps: SubscriptionDeps<Tables>,
  subscription: Subscription<Tables, EventContract<Data>>,
): AsyncDisposable {
  const { event, consumer } = subscription;
  const handle = subscription.handle;
  /** Handles events in one transaction, in their order; for each, true when it was not handled before. */
  const apply = async (messages: readonly Uint8Array[]): Promise<boolean[]> => {
    await deps.db.ready;
    const envelopes = messages.map((data) => decodeEnvelope(event, data));
    return deps.db.transaction(async (tx) => {
      const fresh: boolean[] = [];
      for (const envelope of envelopes) {
        const isNew = await claimInbox(tx, consumer, envelope.id);
        if (isNew) await handle(tx, envelope);
        fresh.push(isNew);
      }
      return fresh;
    });
  };
  deps.deadLetters.register(consumer, async (data) => {
    if ((await apply([data]))[0] === true) deps.onHandled?.(consumer);
  });
  const settle = (messages: readonly JsMsg[], fresh: readonly boolean[]): void => {
    for (const [i, message] of messages.entries()) {
      message.ack();
      deps.metrics.messages.inc({ consumer, outcome: fresh[i] === true ? 'handled' : 'repeated' });
      if (fresh[i] === true) deps.onHandled?.(consumer);
    }
  };
  const handleOne = async (message: JsMsg): Promise<void> => {
    try {
      settle([message], await apply([message.data]));
    } catch (error) {
      await settleFailure(deps, consumer, message, error);
    }
  };
  const pruning = startInboxPruning(deps.db, consumer, deps.log);
  const running = runConsumer(
    deps,
    { stream: streamOf(event), filter: eventFilter(event), consumer, maxMessages },
    async (batch) => {
      try {
        // A commit for a hundred events instead of a hundred commits.
        settle(batch, await apply(batch.map((message) => message.data)));
      } catch (error) {
        // Postgres is away: all go back together, for trying them one by one would only break their order.
        if (outcomeOf(error, 1) === 'retry' && error instanceof FleetError)
          for (const message of batch) await settleFailure(deps, consumer, message, error);
        // One of them is wrong: each for itself, so that it spoils no other, and is named.
        else for (const message of batch) await handleOne(message);
      }
    },
  );
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all([running[Symbol.asyncDispose](), pruning[Symbol.asyncDispose]()]);
    },
  };
}

export interface BatchSubscription<Value> {
  readonly stream: string;
  readonly filter: string;
  readonly consumer: string;
  readonly maxMessages: number;
  /** How long a batch that is not full waits for more, ms. */
  readonly lingerMs?: number;
  /** Throws `invalid_input` for what is no such message; that one is put aside alone. */
  readonly decode: (message: { readonly subject: string; readonly data: Uint8Array }) => Value;
  /** Applies a batch; must bear repeats, since there is no inbox. */
  readonly handle: (values: readonly Value[]) => Promise<void>;
}

/** For messages that come by the thousand: batches, acknowledged after `handle` has committed. */
export function startBatchSubscription<Value>(
  deps: ConsumerDeps,
  subscription: BatchSubscription<Value>,
): AsyncDisposable {
  const { consumer } = subscription;
  deps.deadLetters.register(consumer, async (data, subject) =>
    subscription.handle([subscription.decode({ subject, data })]),
  );
  return runConsumer(deps, subscription, async (batch) => {
    const good: { message: JsMsg; value: Value }[] = [];
    for (const message of batch) {
      try {
        good.push({ message, value: subscription.decode(message) });
      } catch (error) {
        await settleFailure(deps, consumer, message, error);
      }
    }
    if (good.length === 0) return;
    try {
      await subscription.handle(good.map(({ value }) => value));
      for (const { message } of good) message.ack();
      deps.metrics.messages.inc({ consumer, outcome: 'handled' }, good.length);
    } catch (error) {
      for (const { message } of good) await settleFailure(deps, consumer, message, error);
    }
  });
}
