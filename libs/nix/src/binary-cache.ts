import { Readable } from 'node:stream';
import { createZstdDecompress } from 'node:zlib';
import { FleetError } from '@nixfleet/schema';
import { defaultRetryPolicy, type RetryPolicy, sendWithRetries } from './http-retry.ts';
import { NarMeter } from './nar-reader.ts';
import { maxNarInfoBytes, type NarInfo, parseNarInfo } from './narinfo.ts';
import { hashPartOf, isHashPart, storeDir } from './store-path.ts';

export interface BinaryCacheOptions {
  /** `http://cache:8080`, with or without a path below it. */
  readonly url: string;
  readonly signal?: AbortSignal;
  /** Longest wait for the head of an answer and, while a body comes, for its next bytes. */
  readonly idleTimeoutMs?: number;
  readonly retries?: RetryPolicy;
  /** NARs above it are refused before a byte is asked for. */
  readonly maxNarBytes?: number;
}

export interface CacheInfo {
  readonly storeDir: string;
  readonly wantMassQuery: boolean;
  readonly priority: number;
}

export interface ClosureLimits {
  readonly maxPaths: number;
  readonly concurrency: number;
}

const defaultIdleTimeoutMs = 30_000;
const defaultMaxNarBytes = 64 * 1024 ** 3;
const maxCacheInfoBytes = 16 * 1024;

/** Reads `/nix-cache-info`. Throws `invalid_input` when the cache is for another store directory. */
function parseCacheInfo(text: string): CacheInfo {
  const fields = new Map(
    text.split('\n').map((line) => {
      const [name = '', ...rest] = line.split(':');
      return [name, rest.join(':').trim()];
    }),
  );
  const found = fields.get('StoreDir') ?? storeDir;
  if (found !== storeDir)
    throw new FleetError('invalid_input', `the cache is for the store directory ${found}, this is ${storeDir}`);
  return {
    storeDir: found,
    wantMassQuery: fields.get('WantMassQuery') === '1',
    priority: Number(fields.get('Priority') ?? 50),
  };
}

/**
 * A client of one Nix binary cache. Asks for identity encoding always: what is stored and hashed are the bytes that
 * the cache names. Errors: `unavailable` (after retries), `not_found`, `invalid_input` (the cache talks nonsense),
 * `too_large`; aborting the signal throws its reason.
 */
export class BinaryCache {
  readonly #base: URL;
  readonly #signal: AbortSignal | undefined;
  readonly #idleTimeoutMs: number;
  readonly #retries: RetryPolicy;
  readonly #maxNarBytes: number;

  constructor(options: BinaryCacheOptions) {
    this.#base = new URL(options.url.endsWith('/') ? options.url : `${options.url}/`);
    this.#signal = options.signal;
    this.#idleTimeoutMs = options.idleTimeoutMs ?? defaultIdleTimeoutMs;
    this.#retries = options.retries ?? defaultRetryPolicy;
    this.#maxNarBytes = options.maxNarBytes ?? defaultMaxNarBytes;
  }

  async fetchCacheInfo(): Promise<CacheInfo> {
    const text = await this.#fetchText('nix-cache-info', maxCacheInfoBytes);
    if (text === undefined)
      throw new FleetError('not_found', `${this.#base.href} is no binary cache: no nix-cache-info`);
    return parseCacheInfo(text);
  }

  /** What the cache says of a path, unverified; undefined when it has none. Throws when the answer is of another path. */
  async fetchNarInfo(hashPart: string): Promise<NarInfo | undefined> {
    if (!isHashPart(hashPart))
      throw new FleetError('invalid_input', `${JSON.stringify(hashPart)} is not the hash part of a store path`);
    const text = await this.#fetchText(`${hashPart}.narinfo`, maxNarInfoBytes);
    if (text === undefined) return undefined;
    const info = parseNarInfo(text);
    if (hashPartOf(info.storePath) !== hashPart)
      throw new FleetError(
        'invalid_input',
        `${this.#base.href} answers ${hashPart}.narinfo with that of ${info.storePath}`,
      );
    return info;
  }

  /**
   * Narinfos of a path and of all that it refers to, sorted by path, unverified. Throws `not_found` naming the paths
   * that the cache lacks, `too_large` above `maxPaths`.
   */
  async fetchClosure(toplevel: string, limits: ClosureLimits): Promise<NarInfo[]> {
    const found = new Map<string, NarInfo>();
    const missing: string[] = [];
    const seen = new Set([toplevel]);
    let wave = [toplevel];
    while (wave.length > 0) {
      const queue = wave;
      wave = [];
      const worker = async (): Promise<void> => {
        for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
          const info = await this.#fetchNarInfoOf(path);
          if (info === undefined) {
            missing.push(path);
            continue;
          }
          found.set(path, info);
          for (const reference of info.references) {
            if (seen.has(reference)) continue;
            seen.add(reference);
            wave.push(reference);
          }
        }
      };
      await Promise.all(Array.from({ length: limits.concurrency }, worker));
      if (seen.size > limits.maxPaths)
        throw new FleetError('too_large', `the closure of ${toplevel} has more than ${limits.maxPaths} paths`);
    }
    if (missing.length > 0)
      throw new FleetError(
        'not_found',
        `${this.#base.href} lacks ${missing.length} paths of the closure of ${toplevel}: ${missing.sort().slice(0, 20).join(', ')}`,
      );
    return Array.from(found.values()).sort((a, b) => (a.storePath < b.storePath ? -1 : 1));
  }

  async #fetchNarInfoOf(path: string): Promise<NarInfo | undefined> {
    const info = await this.fetchNarInfo(hashPartOf(path));
    if (info !== undefined && info.storePath !== path)
      throw new FleetError('invalid_input', `${this.#base.href} has ${info.storePath} where ${path} is wanted`);
    return info;
  }

  /**
   * The NAR of a path, decompressed (a zstd file must be one frame). The stream throws `invalid_input` unless its bytes are exactly those of the
   * narinfo; what it gave before that must not be used.
   */
  async openNar(info: NarInfo): Promise<AsyncIterable<Uint8Array>> {
    if (info.narSize > this.#maxNarBytes)
      throw new FleetError(
        'too_large',
        `${info.storePath} has ${info.narSize} bytes, at most ${this.#maxNarBytes} allowed`,
      );
    if (info.compression !== 'none' && info.compression !== 'zstd')
      throw new FleetError(
        'invalid_input',
        `${info.storePath}: compression ${info.compression} is not supported, only none and zstd`,
      );
    const response = await this.#request(new URL(info.url, this.#base));
    if (response === undefined || response.body === null)
      throw new FleetError('not_found', `${this.#base.href} has no NAR of ${info.storePath}`);
    const file = this.#body(response.body, info.storePath);
    if (info.compression === 'none') return checkBytes(file, `NAR of ${info.storePath}`, info.narHash, info.narSize);
    return checkBytes(decompressZstd(checkFile(file, info)), `NAR of ${info.storePath}`, info.narHash, info.narSize);
  }

  /** Undefined on 404, 403 and 410, which all mean that it is not there. */
  async #request(url: URL): Promise<Response | undefined> {
    const response = await sendWithRetries(url.href, () => this.#send(url), this.#retries, this.#signal);
    if (response.ok) return response;
    await response.body?.cancel();
    if (response.status === 404 || response.status === 403 || response.status === 410) return undefined;
    throw new FleetError('unavailable', `${url.href}: answered ${response.status}`);
  }

  /** One request; the time-out covers the answer's head. */
  async #send(url: URL): Promise<Response> {
    const timeOut = new AbortController();
    const timer = setTimeout(
      () => timeOut.abort(new Error(`no answer within ${this.#idleTimeoutMs} ms`)),
      this.#idleTimeoutMs,
    );
    try {
      const signal = this.#signal === undefined ? timeOut.signal : AbortSignal.any([timeOut.signal, this.#signal]);
      return await fetch(url, { signal, headers: { 'accept-encoding': 'identity' } });
    } finally {
      clearTimeout(timer);
    }
  }

  async #fetchText(path: string, maxBytes: number): Promise<string | undefined> {
    const url = new URL(path, this.#base);
    const response = await this.#request(url);
    if (response === undefined) return undefined;
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of this.#body(response.body ?? new ReadableStream(), url.href)) {
      size += part.length;
      if (size > maxBytes) throw new FleetError('too_large', `${url.href}: more than ${maxBytes} bytes`);
      parts.push(part);
    }
    return Buffer.concat(parts).toString('utf8');
  }

  /** A body's bytes; throws `unavailable` when it stalls or breaks off. */
  async *#body(body: ReadableStream<Uint8Array>, what: string): AsyncGenerator<Uint8Array, void, undefined> {
    const reader = body.getReader();
    let complete = false;
    try {
      for (;;) {
        const part = await withTimeout(reader.read(), this.#idleTimeoutMs);
        if (part.done) break;
        yield part.value;
      }
      complete = true;
    } catch (error) {
      this.#signal?.throwIfAborted();
      throw new FleetError('unavailable', `${what}: the body broke off`, { cause: error });
    } finally {
      // Also when the consumer stops early: the socket must not wait for a reader.
      if (!complete) await reader.cancel().catch(() => undefined);
    }
  }
}

async function withTimeout<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  const { promise: expired, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`nothing came within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([promise, expired]);
  } finally {
    clearTimeout(timer);
  }
}

const checkFile = (file: AsyncIterable<Uint8Array>, info: NarInfo): AsyncIterable<Uint8Array> =>
  info.fileHash === undefined || info.fileSize === undefined
    ? file
    : checkBytes(file, `compressed NAR of ${info.storePath}`, info.fileHash, info.fileSize);

async function* decompressZstd(file: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const decompress = createZstdDecompress();
  const source = Readable.from(file, { objectMode: false });
  source.on('error', (error) => decompress.destroy(error));
  source.pipe(decompress);
  try {
    yield* decompress as AsyncIterable<Uint8Array>;
  } catch (error) {
    if (error instanceof FleetError) throw error;
    throw new FleetError('invalid_input', 'the NAR is not valid zstd', { cause: error });
  } finally {
    source.destroy();
    decompress.destroy();
  }
}

/** Passes bytes on and throws `invalid_input` as soon as they are too many, or at the end when they are other ones. */
async function* checkBytes(
  source: AsyncIterable<Uint8Array>,
  what: string,
  expectedHash: string,
  expectedSize: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const meter = new NarMeter();
  for await (const part of source) {
    meter.update(part);
    if (meter.sizeBytes > expectedSize)
      throw new FleetError('invalid_input', `${what} has more than the ${expectedSize} bytes that its narinfo says`);
    yield part;
  }
  const { narHash, narSize } = meter.digest();
  if (narSize !== expectedSize || narHash !== expectedHash)
    throw new FleetError(
      'invalid_input',
      `${what} has ${narHash} and ${narSize} bytes, its narinfo says ${expectedHash} and ${expectedSize}`,
    );
}
