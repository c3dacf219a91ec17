import { Readable } from 'node:stream';
import type { BuiltHost } from '@nixfleet/fleet';
import { type StoreObject, writeExport } from '@nixfleet/nix';
import { FleetError, MissingPaths } from '@nixfleet/schema';
import type { Secret } from '@nixfleet/service';
import { Value } from 'typebox/value';

export interface CacheUploaderOptions {
  readonly url: string;
  readonly token: Secret;
}

const queryTimeoutMs = 30_000;
const uploadTimeoutMs = 600_000;
/** Paths asked for in one question. */
const pathsPerQuery = 5000;

/** References before what refers to them: the order in which a cache may take paths one by one. */
export function sortByReferences(objects: readonly StoreObject[]): StoreObject[] {
  const byPath = new Map(objects.map((object) => [object.storePath, object]));
  const sorted: StoreObject[] = [];
  const seen = new Set<string>();
  const visit = (object: StoreObject): void => {
    if (seen.has(object.storePath)) return;
    seen.add(object.storePath);
    for (const reference of object.references) {
      const referred = byPath.get(reference);
      if (referred !== undefined) visit(referred);
    }
    sorted.push(object);
  };
  for (const object of objects) visit(object);
  return sorted;
}

/** Sends closures to cache-indexer: asks what it lacks, then sends that in one `nix-store --export` stream. */
export class CacheUploader {
  readonly #options: CacheUploaderOptions;

  constructor(options: CacheUploaderOptions) {
    this.#options = options;
  }

  async upload(hosts: readonly BuiltHost[], signal: AbortSignal): Promise<void> {
    const objects = new Map<string, StoreObject>();
    for (const host of hosts) for (const path of host.paths) objects.set(path.storePath, path);
    const missing = await this.#missing([...objects.keys()], signal);
    if (missing.size === 0) return;
    const wanted = sortByReferences([...objects.values()].filter((object) => missing.has(object.storePath)));
    await this.#ask('/v1/closures', signal, uploadTimeoutMs, {
      headers: { 'content-type': 'application/x-nix-export' },
      body: Readable.toWeb(Readable.from(writeExport(wanted))) as ReadableStream<Uint8Array>,
      duplex: 'half',
    });
  }

  async #missing(storePaths: readonly string[], signal: AbortSignal): Promise<Set<string>> {
    const missing = new Set<string>();
    for (let start = 0; start < storePaths.length; start += pathsPerQuery) {
      const body = JSON.stringify({ storePaths: storePaths.slice(start, start + pathsPerQuery) });
      const response = await this.#ask('/v1/paths/missing', signal, queryTimeoutMs, {
        headers: { 'content-type': 'application/json' },
        body,
      });
      const answer: unknown = await response.json();
      if (!Value.Check(MissingPaths, answer))
        throw new FleetError(
          'unavailable',
          `cache-indexer at ${this.#options.url} answered what this resolver does not know`,
        );
      for (const path of answer.missing) missing.add(path);
    }
    return missing;
  }

  async #ask(
    path: string,
    signal: AbortSignal,
    timeoutMs: number,
    init: Omit<RequestInit, 'headers'> & { headers: Readonly<Record<string, string>>; duplex?: 'half' },
  ): Promise<Response> {
    const url = `${this.#options.url}${path}`;
    let response: Response;
    try {
      response = await fetch(url, {
        ...init,
        method: 'POST',
        headers: { ...init.headers, authorization: `Bearer ${this.#options.token.reveal()}` },
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      });
    } catch (error) {
      signal.throwIfAborted();
      throw new FleetError(
        'unavailable',
        `cache-indexer at ${url} is not reachable: ${error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error)}`,
        { cause: error },
      );
    }
    if (response.ok) return response;
    const text = (await response.text()).slice(0, 1000);
    // Authentication may come a moment after start-up; everything else below 500 is about what was sent.
    const passing = response.status >= 500 || response.status === 401 || response.status === 429;
    throw new FleetError(
      passing ? 'unavailable' : 'invalid_input',
      `cache-indexer answered ${response.status} to ${path}: ${text}`,
    );
  }
}
