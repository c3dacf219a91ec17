import { setTimeout as sleep } from 'node:timers/promises';
import type { Health } from '@nixfleet/service';
import type { NarStorage } from './nar-storage.ts';

const intervalMs = 5000;

/** Keeps the readiness of the NAR storage up to date until disposed. */
export function watchStorage(storage: NarStorage, health: Health): AsyncDisposable {
  const state = health.register('storage');
  const stop = new AbortController();
  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await storage.check().then(
        () => state.up(),
        (error: unknown) => state.down(error instanceof Error ? error.message : String(error)),
      );
      await sleep(intervalMs, undefined, { signal: stop.signal, ref: false }).catch(() => undefined);
    }
  };
  const running = run();
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}
