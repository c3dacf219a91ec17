import { FleetError } from '@nixfleet/schema';
import { paddingOf } from './nar-format.ts';

export type ByteSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * Reads framed values off a stream of chunks without ever holding more than one chunk and one small value.
 * `tap` sees every consumed byte, in as few slices as the chunks allow; slices are views, not copies.
 */
export class ByteReader implements AsyncDisposable {
  readonly #chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #chunk: Buffer = Buffer.alloc(0);
  #offset = 0;
  #tap: ((bytes: Uint8Array) => void) | undefined;
  #tapStart = 0;

  constructor(source: ByteSource) {
    this.#chunks = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  }

  /** From here on every consumed byte goes to `tap`, until another or none is set. */
  setTap(tap: ((bytes: Uint8Array) => void) | undefined): void {
    this.flushTap();
    this.#tap = tap;
    this.#tapStart = this.#offset;
  }

  /** Hands the tap what was consumed of the present chunk. */
  flushTap(): void {
    if (this.#tap !== undefined && this.#offset > this.#tapStart)
      this.#tap(this.#chunk.subarray(this.#tapStart, this.#offset));
    this.#tapStart = this.#offset;
  }

  /** False at the end of the stream. The present chunk must be consumed. */
  async #refill(): Promise<boolean> {
    this.flushTap();
    for (;;) {
      const next = await this.#chunks.next();
      if (next.done === true) return false;
      if (next.value.length === 0) continue;
      this.#chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
      this.#offset = 0;
      this.#tapStart = 0;
      return true;
    }
  }

  /** True when no byte is left. */
  async isAtEnd(): Promise<boolean> {
    return this.#offset === this.#chunk.length && !(await this.#refill());
  }

  /** Up to `limit` bytes of the present chunk, at least one; a view. Throws `invalid_input` at the end. */
  async some(limit: number): Promise<Buffer> {
    if (this.#offset === this.#chunk.length && !(await this.#refill()))
      throw new FleetError('invalid_input', 'the stream ends in the middle of a value');
    const part = this.#chunk.subarray(this.#offset, this.#offset + limit);
    this.#offset += part.length;
    return part;
  }

  /** Exactly `size` bytes: for small values only. */
  async take(size: number): Promise<Buffer> {
    if (this.#chunk.length - this.#offset >= size) {
      const part = this.#chunk.subarray(this.#offset, this.#offset + size);
      this.#offset += size;
      return part;
    }
    const out = Buffer.allocUnsafe(size);
    for (let filled = 0; filled < size; ) {
      const part = await this.some(size - filled);
      out.set(part, filled);
      filled += part.length;
    }
    return out;
  }

  /** Little-endian u64. Throws `invalid_input` above 2^53 - 1. */
  async u64(): Promise<number> {
    const bytes = await this.take(8);
    const value = bytes.readUInt32LE(4) * 0x1_0000_0000 + bytes.readUInt32LE(0);
    if (!Number.isSafeInteger(value)) throw new FleetError('invalid_input', 'a length in the stream is above 2^53');
    return value;
  }

  /** Zero bytes up to the next multiple of 8. */
  async padding(length: number): Promise<void> {
    const size = paddingOf(length);
    if (size > 0 && (await this.take(size)).some((byte) => byte !== 0))
      throw new FleetError('invalid_input', 'padding in the stream is not zero');
  }

  /** A framed string of at most `limit` bytes; a view that lives as long as its chunk. */
  async framed(limit: number, what: string): Promise<Buffer> {
    const length = await this.u64();
    if (length > limit) throw new FleetError('invalid_input', `${what} of ${length} bytes, at most ${limit} allowed`);
    const bytes = await this.take(length);
    await this.padding(length);
    return bytes;
  }

  /** Lets go of the source, so that a stream behind it is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#chunks.return?.();
  }
}
