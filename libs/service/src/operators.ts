import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { jetstream } from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import { FleetError, OperatorRecord, type OperatorRole, operatorBucket, roleCovers } from '@nixfleet/schema';
import { Value } from 'typebox/value';
import type { Bus } from './bus.ts';
import type { Logger } from './logger.ts';

export const hashToken = (token: string): string => createHash('sha256').update(token, 'utf8').digest('hex');

/** More operators than this is a mistake, not a fleet. */
const maxOperators = 100_000;
const retryMs = 1000;

/** The operators bucket; made by whichever service comes first. Its permissions let the deployer alone write. */
export const openOperatorBucket = async (bus: Bus): Promise<KV> =>
  new Kvm(jetstream(await bus.connection())).create(operatorBucket, { history: 1 });

/** Every operator's token hash and role, kept up to date from the bucket that the deployer writes. */
export class Operators implements AsyncDisposable {
  readonly #records = new Map<string, OperatorRecord>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #loaded = false;
  #watch: { stop: () => void } | undefined;

  constructor(bus: Bus, log: Logger) {
    this.#running = this.#follow(bus, log);
  }

  /** Who a request is from. Throws `unauthenticated`, `forbidden`, or `unavailable` while the bucket has not been read. */
  authorise(authorization: string | undefined, needed: OperatorRole): OperatorRecord {
    const token = /^Bearer ([\x21-\x7E]{16,512})$/.exec(authorization ?? '')?.[1];
    if (token === undefined)
      throw new FleetError('unauthenticated', 'an operator token is needed: Authorization: Bearer <token>');
    const operator = this.#records.get(hashToken(token));
    if (operator === undefined) {
      if (!this.#loaded) throw new FleetError('unavailable', 'the operators are not known yet: try again in a moment');
      throw new FleetError('unauthenticated', 'the operator token is not known');
    }
    if (!roleCovers(operator.role, needed))
      throw new FleetError('forbidden', `this needs the role ${needed}; ${operator.name} has ${operator.role}`);
    return operator;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#watch?.stop();
    await Promise.race([this.#running, sleep(1000, undefined, { ref: false })]);
  }

  async #follow(bus: Bus, log: Logger): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const bucket = await openOperatorBucket(bus);
        const watch = await bucket.watch();
        this.#watch = watch;
        // A new bucket has nothing to hand over first.
        if ((await bucket.status()).values === 0) this.#loaded = true;
        for await (const entry of watch) {
          this.#apply(entry.key, entry.operation, entry.value);
          if (entry.delta === 0) this.#loaded = true;
        }
      } catch (error) {
        if (!signal.aborted) log.warn({ err: error }, 'the operators could not be followed, trying again');
      }
      await sleep(retryMs, undefined, { signal }).catch(() => undefined);
    }
  }

  #apply(key: string, operation: string, value: Uint8Array): void {
    if (operation !== 'PUT') {
      this.#records.delete(key);
      return;
    }
    const record = readRecord(value);
    if (record !== undefined && (this.#records.has(key) || this.#records.size < maxOperators))
      this.#records.set(key, record);
  }
}

/** Undefined for what is no record: one bad entry must not hide those behind it. */
function readRecord(value: Uint8Array): OperatorRecord | undefined {
  try {
    const record: unknown = JSON.parse(Buffer.from(value).toString('utf8'));
    return Value.Check(OperatorRecord, record) ? record : undefined;
  } catch {
    return undefined;
  }
}

/** For the deployer alone: makes a token known to every service. */
export async function putOperator(bus: Bus, tokenSha256: string, record: OperatorRecord): Promise<void> {
  await (await openOperatorBucket(bus)).put(tokenSha256, JSON.stringify(record));
}

/** For the deployer alone. */
export async function removeOperator(bus: Bus, tokenSha256: string): Promise<void> {
  await (await openOperatorBucket(bus)).delete(tokenSha256);
}
