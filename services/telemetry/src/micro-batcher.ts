import { FleetError } from '@nixfleet/schema';

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

export interface MicroBatcherOptions<Item, Result> {
  readonly maxBatch: number;
  /** Items beyond it are refused as `unavailable`: the sender's own retry is the better queue. */
  readonly maxWaiting: number;
  /** One result an item, in their order; called for one batch at a time. */
  readonly write: (items: readonly Item[]) => Promise<readonly Result[]>;
}

/**
 * Writes what comes in single file as batches: while one batch is being written the next one gathers. `add` resolves
 * when the item's batch is committed, so an acknowledgement means that it is stored.
 */
export class MicroBatcher<Item, Result> implements AsyncDisposable {
  readonly #options: MicroBatcherOptions<Item, Result>;
  #waiting: Waiting<Item, Result>[] = [];
  #writing: Promise<void> | undefined;

  constructor(options: MicroBatcherOptions<Item, Result>) {
    this.#options = options;
  }

  add(item: Item): Promise<Result> {
    if (this.#waiting.length >= this.#options.maxWaiting) {
      return Promise.reject(
        new FleetError(
          'unavailable',
          `${this.#options.maxWaiting} items are waiting to be stored: try again in a moment`,
        ),
      );
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#writing ??= this.#drain().finally(() => {
        this.#writing = undefined;
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing;
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#options.maxBatch);
      try {
        const results = await this.#options.write(batch.map(({ item }) => item));
        for (const [i, { resolve, reject }] of batch.entries()) {
          const result = results[i];
          if (result === undefined) reject(new Error('a batch gave too few results'));
          else resolve(result);
        }
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
  }
}
