import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import { type Heartbeat, heartbeatSubject, type Intent } from '@nixfleet/schema';
import type { Logger } from 'pino';
import { AttemptRunner } from './attempts.ts';
import { connectBus, followIntents, ReportSender } from './bus.ts';
import { type AgentConfig, agentVersion } from './config.ts';
import { Journal, readBootId } from './journal.ts';
import { hostRoot } from './root.ts';

const flushTimeoutMs = 2000;
/** After a failure of the journal itself, a full disk for example. */
const retryMs = 5000;

/** Runs the agent until the signal: finish what was begun, follow intents, report, beat. */
export async function runAgent(config: AgentConfig, log: Logger, signal: AbortSignal): Promise<void> {
  const journal = await Journal.open(config.stateDir);
  const bootId = await readBootId();
  let sender: ReportSender | undefined;
  const runner = new AttemptRunner({
    config,
    root: hostRoot(config.root),
    journal,
    bootId,
    log,
    onReport: () => sender?.wake(),
    signal,
  });
  let newest: Intent | undefined;
  const isNewest = (intent: Intent | undefined): boolean => newest === intent;
  /** Finishes what was begun, then does what the intent says unless a newer one has come. */
  const act = async (intent?: Intent): Promise<void> => {
    while (isNewest(intent) && !signal.aborted) {
      try {
        await runner.resume();
        if (intent !== undefined) await runner.handle(intent);
        return;
      } catch (error) {
        log.error({ err: error }, 'an attempt could not go on, trying again');
        await sleep(retryMs, undefined, { signal }).catch(() => undefined);
      }
    }
  };
  // An unfinished attempt goes on without the centre: its deadline is this host's own business.
  let work = act();
  const onIntent = (intent: Intent): void => {
    if (newest !== undefined && intent.intentSequence <= newest.intentSequence) return;
    newest = intent;
    work = work.then(() => act(intent));
  };
  const nc = await connectBus(config, log, signal);
  try {
    sender = new ReportSender(nc, config, journal, log, signal);
    sender.wake();
    log.info({ host: config.host, site: config.site, root: config.root, version: agentVersion }, 'agent connected');
    await Promise.all([followIntents(nc, config, log, onIntent, signal), beat(nc, config, journal, bootId, signal)]);
  } finally {
    await work;
    await sender?.flush(flushTimeoutMs);
    await nc.close();
  }
}

async function beat(
  nc: NatsConnection,
  config: AgentConfig,
  journal: Journal,
  bootId: string,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const { confirmed, attempt } = journal.state;
    const heartbeat: Heartbeat = {
      version: 1,
      host: config.host,
      site: config.site,
      time: new Date().toISOString(),
      bootId,
      agentVersion,
      intervalSeconds: config.heartbeatSeconds,
      ...(confirmed === undefined ? {} : { toplevel: confirmed.toplevel, generation: confirmed.generation }),
      ...(attempt === undefined || attempt.phase === 'done' ? {} : { attempt: attempt.intent.attempt }),
    };
    // While disconnected a heartbeat would only pile up in the client's buffer.
    if (!nc.isClosed()) nc.publish(heartbeatSubject(config.site, config.host), JSON.stringify(heartbeat));
    await sleep(config.heartbeatSeconds * 1000 * (0.9 + Math.random() * 0.1), undefined, { signal }).catch(
      () => undefined,
    );
  }
}
