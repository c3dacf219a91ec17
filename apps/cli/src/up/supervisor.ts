import { setTimeout as sleep } from 'node:timers/promises';
import type { Child } from '@nixfleet/infra';
import { FleetError } from '@nixfleet/schema';
import type { Reporter } from './reporter.ts';

/** A process that answers. */
export interface Part extends AsyncDisposable {
  readonly child: Child;
}

export interface PartSpec {
  readonly name: string;
  /** Parts of a later stage are stopped first; parts of one stage together. */
  readonly stage: 'postgres' | 'nats' | 'services' | 'agents';
  readonly logFile: string;
  /** Starts it and waits until it answers; must leave nothing running when it throws. */
  readonly launch: (signal: AbortSignal) => Promise<Part>;
}

const stages = ['agents', 'services', 'nats', 'postgres'] as const;
const firstDelayMs = 500;
const maxDelayMs = 10_000;
/** More unexpected ends than this within the window, and the part is left alone. */
const maxRestarts = 5;
const restartWindowMs = 120_000;

/** How long to wait before start number `ends` after as many unexpected ends; undefined: give up. */
export function restartDelayMs(endsMs: readonly number[], nowMs: number): number | undefined {
  const recent = endsMs.filter((endMs) => nowMs - endMs < restartWindowMs).length;
  return recent > maxRestarts ? undefined : Math.min(maxDelayMs, firstDelayMs * 2 ** Math.max(0, recent - 1));
}

type RestartDelay = typeof restartDelayMs;

/** One part, kept running: an unexpected end is reported, and it is started again. */
class Supervised {
  readonly spec: PartSpec;
  readonly #reporter: Reporter;
  readonly #signal: AbortSignal;
  readonly #restartDelay: RestartDelay;
  readonly #endsMs: number[] = [];
  #current: Part | undefined;
  #launching: Promise<void> = Promise.resolve();

  constructor(spec: PartSpec, reporter: Reporter, signal: AbortSignal, restartDelay: RestartDelay) {
    this.spec = spec;
    this.#reporter = reporter;
    this.#signal = signal;
    this.#restartDelay = restartDelay;
  }

  get child(): Child | undefined {
    return this.#current?.child;
  }

  async start(): Promise<void> {
    await this.#launch();
    void this.#watch();
  }

  /** Called after the abort: nothing is launched any more, but a launch may be under way. */
  async stop(): Promise<void> {
    await this.#launching;
    await this.#current?.[Symbol.asyncDispose]();
  }

  async #launch(): Promise<void> {
    this.#signal.throwIfAborted();
    const launch = this.spec.launch(this.#signal).then((part) => {
      this.#current = part;
    });
    this.#launching = launch.catch(() => undefined);
    await launch;
  }

  async #watch(): Promise<void> {
    const { name, logFile } = this.spec;
    while (!this.#signal.aborted) {
      await this.#current?.child.exited;
      if (this.#signal.aborted) return;
      this.#endsMs.push(Date.now());
      const delayMs = this.#restartDelay(this.#endsMs, Date.now());
      if (delayMs === undefined) {
        this.#reporter.warn(`${name} ended ${this.#endsMs.length} times and is left alone now; its log: ${logFile}`);
        return;
      }
      this.#reporter.warn(`${name} ended unexpectedly; starting it again in ${delayMs / 1000} s; its log: ${logFile}`);
      await sleep(delayMs, undefined, { signal: this.#signal }).catch(() => undefined);
      if (this.#signal.aborted) return;
      await this.#launch().then(
        () => this.#reporter.step(`${name} is back`),
        (error: unknown) => {
          if (!this.#signal.aborted) this.#reporter.warn(error instanceof Error ? error.message : String(error));
        },
      );
    }
  }
}

/** Every process of a local backend. Disposing stops them in reverse order. */
export class Supervisor implements AsyncDisposable {
  readonly #reporter: Reporter;
  readonly #stop = new AbortController();
  readonly #parts: Supervised[] = [];
  readonly #restartDelay: RestartDelay;

  constructor(reporter: Reporter, restartDelay: RestartDelay = restartDelayMs) {
    this.#reporter = reporter;
    this.#restartDelay = restartDelay;
  }

  /** Aborted once the backend is being stopped. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Process ids of everything that runs. */
  get pids(): number[] {
    return this.#children().map((child) => child.pid);
  }

  async start(spec: PartSpec): Promise<void> {
    const part = new Supervised(spec, this.#reporter, this.#stop.signal, this.#restartDelay);
    this.#parts.push(part);
    await part.start();
  }

  /** The process of a part; undefined between its end and its next start. */
  childOf(name: string): Child | undefined {
    const child = this.#parts.find((part) => part.spec.name === name)?.child;
    return child?.running === true ? child : undefined;
  }

  /** From now on nothing is started or restarted. */
  abort(): void {
    this.#stop.abort(new FleetError('unavailable', 'stopped'));
  }

  /** SIGKILL to everything, at once. */
  killAll(): void {
    for (const child of this.#children()) void child.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.abort();
    for (const stage of stages)
      await Promise.all(this.#parts.filter((part) => part.spec.stage === stage).map((part) => part.stop()));
  }

  #children(): Child[] {
    return this.#parts.flatMap((part) => (part.child?.running === true ? [part.child] : []));
  }
}
