import { setTimeout as sleep } from 'node:timers/promises';

/** Long enough for a slow machine: a test that needs it has failed, a passing one never waits for it. */
const giveUpAfterMs = 60_000;
const pollMs = 20;

/** Waits until it is so. A probe that throws is not so yet; its last error is told when it never comes. */
export async function until(probe: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpMs = performance.now() + giveUpAfterMs;
  for (;;) {
    let problem: unknown;
    try {
      if (await probe()) return;
    } catch (error) {
      problem = error;
    }
    if (performance.now() > giveUpMs)
      throw new Error(`still not so after ${giveUpAfterMs} ms: ${probe.toString()}`, { cause: problem });
    await sleep(pollMs);
  }
}
