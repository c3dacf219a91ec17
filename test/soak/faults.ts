import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '@nixfleet/infra/testing';
import { agentPart, FaultBackend, infrastructureParts, serviceParts } from '../faults/fault-backend.ts';
import { checkConverged, checkInvariants, readGenerations } from '../faults/invariants.ts';
import { makeRandom, type Random } from './random.ts';

export interface FaultSoak {
  readonly minutes: number;
  readonly seed: number;
}

export interface FaultSoakResults {
  readonly rollouts: number;
  readonly builds: number;
  readonly kills: Readonly<Record<string, number>>;
  readonly pauses: number;
}

/** Kills of one build or one rollout: each part has to be able to come back within its deadlines. */
const maxFaults = 6;
const maxRestMs = 1500;
const maxPauseMs = 2500;
/** One fault in so many is a pause: the process hangs, and goes on. */
const pauseOneIn = 5;

/** Faults at random moments, as long as the work lasts. */
class Trouble {
  readonly kills: Record<string, number> = {};
  pauses = 0;
  readonly #backend: FaultBackend;
  readonly #random: Random;
  readonly #parts: readonly string[];

  constructor(backend: FaultBackend, random: Random) {
    this.#backend = backend;
    this.#random = random;
    this.#parts = [...serviceParts, ...infrastructureParts, ...backend.hosts.map(({ host }) => agentPart(host))];
  }

  async during<T>(work: Promise<T>): Promise<T> {
    const over = new AbortController();
    const ended = work.finally(() => over.abort());
    ended.catch(() => undefined);
    for (let i = 0; i < maxFaults; i += 1) {
      await sleep(this.#random.below(maxRestMs));
      if (over.signal.aborted) break;
      await this.#once();
    }
    return ended;
  }

  async #once(): Promise<void> {
    const name = this.#parts[this.#random.below(this.#parts.length)] ?? '';
    const child = this.#backend.supervisor.childOf(name);
    // It is dead from the last time.
    if (child === undefined) return;
    if (this.#random.below(pauseOneIn) === 0) {
      process.kill(child.pid, 'SIGSTOP');
      await sleep(this.#random.below(maxPauseMs));
      if (child.running) process.kill(child.pid, 'SIGCONT');
      this.pauses += 1;
      return;
    }
    await child.kill();
    this.kills[name] = (this.kills[name] ?? 0) + 1;
  }
}

/** Builds and rollouts under random faults until the time is over. Throws at the first thing that is not as it must be. */
export async function soakFaults({ minutes, seed }: FaultSoak, say: (text: string) => void): Promise<FaultSoakResults> {
  const endMs = Date.now() + minutes * 60_000;
  await using backend = await FaultBackend.start();
  const trouble = new Trouble(backend, makeRandom(seed));
  let rollouts = 0;
  try {
    while (Date.now() < endMs) {
      const text = `seed ${seed}, round ${rollouts + 1}`;
      const built = backend
        .submit(text)
        .then(({ revision }) => until(async () => (await backend.revision(revision)).state === 'built'));
      await trouble.during(built);
      await backend.settled();
      const generations = await readGenerations(backend);
      const release = await backend.release(text);
      const end = await trouble.during(backend.startRollout(release).then((rollout) => backend.ended(rollout)));
      assert.deepEqual([end.state, end.reason], ['completed', 'every host converged'], JSON.stringify(end));
      await backend.settled();
      await checkConverged(backend, release, generations);
      await checkInvariants(backend);
      rollouts += 1;
      say(`round ${rollouts}: completed, kills so far ${JSON.stringify(trouble.kills)}, pauses ${trouble.pauses}`);
    }
  } catch (error) {
    say(backend.said.slice(-40).join(''));
    throw error;
  }
  return { rollouts, builds: rollouts, kills: trouble.kills, pauses: trouble.pauses };
}
