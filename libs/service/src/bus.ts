import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DiscardPolicy,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { type StreamContract, streams } from '@nixfleet/schema';
import type { Health } from './health.ts';
import type { Logger } from './logger.ts';

export interface BusOptions {
  readonly url: string;
  readonly credsFile: string;
  /** Name of the connection, as the server lists it. */
  readonly name: string;
  readonly log: Logger;
  readonly health: Health;
}

const firstRetryMs = 200;
const maxRetryMs = 5000;
const flushTimeoutMs = 2000;

/**
 * The service's connection to NATS. It comes up without the server, keeps trying, and makes every stream before anybody
 * gets the connection for the first time.
 */
export class Bus implements AsyncDisposable {
  readonly #options: BusOptions;
  readonly #state: ReturnType<Health['register']>;
  readonly #closing = new AbortController();
  readonly #connection: Promise<NatsConnection>;
  #current: NatsConnection | undefined;
  #up = false;

  constructor(options: BusOptions) {
    this.#options = options;
    this.#state = options.health.register('nats');
    this.#connection = this.#connect();
    this.#connection.catch(() => undefined);
  }

  /** Waits for the first connection; after that the client reconnects by itself. */
  connection(): Promise<NatsConnection> {
    return this.#connection;
  }

  get connected(): boolean {
    return this.#up;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#connection.catch(() => undefined);
    // Not drain: every consumer has stopped before, and a drain or flush waits for a server that may be away.
    const flushed = this.#up ? this.#current?.flush().catch(() => undefined) : undefined;
    await Promise.race([flushed, sleep(flushTimeoutMs, undefined, { ref: false })]);
    await this.#current?.close();
  }

  async #connect(): Promise<NatsConnection> {
    const { log, url, credsFile, name } = this.#options;
    const { signal } = this.#closing;
    for (let tries = 0; ; tries += 1) {
      signal.throwIfAborted();
      let nc: NatsConnection | undefined;
      try {
        nc = await connect({
          servers: url,
          name,
          authenticator: credsAuthenticator(await readFile(credsFile)),
          maxReconnectAttempts: -1,
          reconnectTimeWait: 500,
          reconnectJitter: 500,
          ignoreAuthErrorAbort: true,
          pingInterval: 20_000,
        });
        await ensureStreams(await jetstreamManager(nc));
        signal.throwIfAborted();
        this.#current = nc;
        this.#setUp(true, '');
        void this.#follow(nc);
        return nc;
      } catch (error) {
        await nc?.close().catch(() => undefined);
        this.#setUp(false, error instanceof Error ? error.message : String(error));
        if (tries === 0) log.warn({ err: error, url }, 'NATS is not reachable, trying again');
        await sleep(Math.min(maxRetryMs, firstRetryMs * 2 ** tries) * (0.5 + Math.random() / 2), undefined, { signal });
      }
    }
  }

  /** Keeps /readyz true to the connection. Streams are looked at again after each reconnection: the server may be a new one. */
  async #follow(nc: NatsConnection): Promise<void> {
    for await (const status of nc.status()) {
      if (status.type === 'disconnect') this.#setUp(false, 'disconnected');
      if (status.type === 'reconnect') {
        this.#setUp(true, '');
        await jetstreamManager(nc)
          .then(ensureStreams)
          .catch((error: unknown) =>
            this.#options.log.warn({ err: error }, 'the streams could not be looked at after a reconnection'),
          );
      }
    }
  }

  #setUp(up: boolean, reason: string): void {
    this.#up = up;
    if (up) this.#state.up();
    else this.#state.down(reason);
  }
}

const toConfig = (stream: StreamContract): Partial<StreamConfig> & { name: string } => ({
  name: stream.name,
  subjects: [...stream.subjects],
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  discard: DiscardPolicy.Old,
  max_age: stream.maxAgeNanos,
  max_bytes: stream.maxBytes,
  max_msgs_per_subject: stream.maxMsgsPerSubject,
  allow_direct: stream.allowDirect,
  duplicate_window: stream.duplicateWindowNanos,
});

/** Makes the streams that are missing; those that exist keep an operator's replica count and limits. */
async function ensureStreams(manager: JetStreamManager): Promise<void> {
  for (const stream of streams) {
    const exists = await manager.streams.info(stream.name).then(
      () => true,
      (error: Error) => {
        if (/stream not found/i.test(error.message)) return false;
        throw error;
      },
    );
    // Two services at once: JetStream takes an identical second creation as done.
    if (!exists) await manager.streams.add(toConfig(stream));
  }
}
