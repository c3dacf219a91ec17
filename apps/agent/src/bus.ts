import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { jetstream } from '@nats-io/jetstream';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { agentInboxPrefix, Intent, intentDirectGetSubject, intentSubject, reportSubject } from '@nixfleet/schema';
import type { Logger } from 'pino';
import { Value } from 'typebox/value';
import type { AgentConfig } from './config.ts';
import type { Journal } from './journal.ts';

const requestTimeoutMs = 5000;
const retryMs = 2000;

/** Connects with the host's own credentials; keeps trying for ever, also later. */
export async function connectBus(config: AgentConfig, log: Logger, signal: AbortSignal): Promise<NatsConnection> {
  for (;;) {
    signal.throwIfAborted();
    try {
      const creds = await readFile(config.natsCredsFile);
      return await connect({
        servers: config.natsUrl,
        name: `agent ${config.host}`,
        authenticator: credsAuthenticator(creds),
        inboxPrefix: agentInboxPrefix(config.host),
        maxReconnectAttempts: -1,
        reconnectTimeWait: retryMs,
        reconnectJitter: 2000,
        ignoreAuthErrorAbort: true,
        timeout: requestTimeoutMs,
      });
    } catch (error) {
      log.warn({ err: error }, 'NATS is not reachable, trying again');
      await sleep(retryMs + Math.random() * retryMs, undefined, { signal });
    }
  }
}

/** Decodes an intent; undefined for anything that is none (a bad message must not stop the next one). */
function decodeIntent(data: Uint8Array, log: Logger): Intent | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(data).toString('utf8'));
    if (Value.Check(Intent, value)) return value;
    const [first] = Value.Errors(Intent, value);
    log.error({ at: first?.instancePath, message: first?.message }, 'ignored a message that is no intent');
  } catch (error) {
    log.error({ err: error }, 'ignored a message that is no JSON');
  }
  return undefined;
}

/** The last intent that the stream holds for this host; undefined when there is none or nobody answers. */
async function getLastIntent(nc: NatsConnection, config: AgentConfig, log: Logger): Promise<Intent | undefined> {
  const message = await nc.request(intentDirectGetSubject(config.site, config.host), '', { timeout: requestTimeoutMs });
  // JetStream answers a direct get that finds nothing with a header only, status 404 (ADR-31).
  if (message.headers !== undefined && message.headers.code !== 0) return undefined;
  return decodeIntent(message.data, log);
}

/**
 * Hands over the newest intent whenever there is a newer one: live ones by subscription, and the stored one at the start,
 * after each reconnection and every few minutes, since core NATS drops what a disconnected agent would have got.
 */
export async function followIntents(
  nc: NatsConnection,
  config: AgentConfig,
  log: Logger,
  onIntent: (intent: Intent) => void,
  signal: AbortSignal,
): Promise<void> {
  const subscription = nc.subscribe(intentSubject(config.site, config.host));
  const fetchLast = async (): Promise<void> => {
    for (let tries = 0; tries < 10 && !signal.aborted; tries += 1) {
      try {
        const intent = await getLastIntent(nc, config, log);
        if (intent !== undefined) onIntent(intent);
        return;
      } catch (error) {
        log.debug({ err: error }, 'the last intent could not be read, trying again');
        await sleep(retryMs, undefined, { signal });
      }
    }
  };
  const live = async (): Promise<void> => {
    for await (const message of subscription) {
      const intent = decodeIntent(message.data, log);
      if (intent !== undefined) onIntent(intent);
    }
  };
  const afterReconnect = async (): Promise<void> => {
    for await (const status of nc.status()) {
      if (status.type === 'reconnect') await fetchLast();
    }
  };
  const now = async (): Promise<void> => {
    while (!signal.aborted) {
      await fetchLast();
      await sleep(240_000 + Math.random() * 120_000, undefined, { signal });
    }
  };
  signal.addEventListener('abort', () => subscription.unsubscribe(), { once: true });
  // Statuses end with the connection only: nobody waits for them.
  afterReconnect().catch((error: unknown) => log.error({ err: error }, 'reconnections are not followed any more'));
  await Promise.all([live(), now()].map((task) => task.catch((error: unknown) => ignoreAbort(error, signal))));
}

function ignoreAbort(error: unknown, signal: AbortSignal): void {
  if (!signal.aborted) throw error;
}

/** Sends the journal's reports in order, each until the stream has stored it; message ids make repeats harmless. */
export class ReportSender {
  readonly #nc: NatsConnection;
  readonly #config: AgentConfig;
  readonly #journal: Journal;
  readonly #log: Logger;
  readonly #signal: AbortSignal;
  #running: Promise<void> | undefined;

  constructor(nc: NatsConnection, config: AgentConfig, journal: Journal, log: Logger, signal: AbortSignal) {
    this.#nc = nc;
    this.#config = config;
    this.#journal = journal;
    this.#log = log;
    this.#signal = signal;
  }

  /** Starts sending unless it is under way; never throws. */
  wake(): void {
    this.#running ??= this.#drain().finally(() => {
      this.#running = undefined;
      if (this.#journal.state.unsent.length > 0 && !this.#signal.aborted) this.wake();
    });
  }

  /** Waits until nothing is unsent, at most `timeoutMs`. */
  async flush(timeoutMs: number): Promise<void> {
    this.wake();
    await Promise.race([this.#running, sleep(timeoutMs, undefined, { ref: false })]);
  }

  async #drain(): Promise<void> {
    const js = jetstream(this.#nc, { timeout: requestTimeoutMs });
    for (
      let report = this.#journal.state.unsent[0];
      report !== undefined && !this.#signal.aborted;
      report = this.#journal.state.unsent[0]
    ) {
      const sent = report;
      try {
        await js.publish(reportSubject(this.#config.site, this.#config.host), JSON.stringify(sent), {
          msgID: `${sent.attempt}:${sent.sequence}`,
        });
        await this.#journal.update((state) => ({
          ...state,
          unsent: state.unsent.filter((r) => r.attempt !== sent.attempt || r.sequence !== sent.sequence),
        }));
      } catch (error) {
        this.#log.warn(
          { err: error, unsent: this.#journal.state.unsent.length },
          'a report was not taken, trying again',
        );
        await sleep(retryMs + Math.random() * 500, undefined, { ref: false });
      }
    }
  }
}
