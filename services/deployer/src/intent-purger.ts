import { setTimeout as sleep } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { intentStream, intentSubject } from '@nixfleet/schema';
import type { Bus, Database, Logger } from '@nixfleet/service';
import { takeStaleIntents } from './store/stale-intents.ts';
import type { DeployerTables } from './store/tables.ts';

export interface IntentPurgerDeps {
  readonly db: Database<DeployerTables>;
  readonly bus: Bus;
  readonly log: Logger;
}

const roundMs = 1000;
const intentsPerRound = 100;

/** Removes the intents of hosts that have left a site: whoever gets their old credentials must find nothing there. */
export function startIntentPurger({ db, bus, log }: IntentPurgerDeps): AsyncDisposable {
  const stop = new AbortController();
  const purge = (): Promise<void> =>
    db.transaction(async (tx) => {
      const stale = await takeStaleIntents(tx, intentsPerRound);
      if (stale.length === 0) return;
      const manager = await jetstreamManager(await bus.connection());
      for (const { host, site } of stale)
        await manager.streams.purge(intentStream.name, { filter: intentSubject(site, host) });
      log.info({ hosts: stale.length }, 'intents at sites that hosts have left were purged');
    });
  const run = async (): Promise<void> => {
    await Promise.all([db.ready, bus.connection()]);
    while (!stop.signal.aborted) {
      // Without NATS the rows wait; a transaction held open for it would only block.
      if (bus.connected)
        await purge().catch((error: unknown) =>
          log.warn({ err: error }, 'stale intents could not be purged, trying again'),
        );
      await sleep(roundMs, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  };
  const running = run().catch((error: unknown) => {
    if (!stop.signal.aborted) log.error({ err: error }, 'the intent purger has ended');
  });
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.race([running, sleep(2000, undefined, { ref: false })]);
    },
  };
}
