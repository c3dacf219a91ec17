import { FleetError } from '@nixfleet/schema';
import { Counter, Gauge, type Registry } from 'prom-client';

/** hit: found. miss: known not to be here. failed: could not be told. */
type LookupCounter = Counter<'outcome'>;

export interface CacheMetrics {
  readonly narinfoRequests: LookupCounter;
  readonly narRequests: LookupCounter;
  readonly narSentBytes: Counter;
  readonly uploads: Counter<'outcome'>;
  readonly uploadedPaths: Counter;
  readonly uploadedNarBytes: Counter;
}

/** Every metric of cache-indexer. `freeBytes` is asked at each scrape. */
export function createCacheMetrics(registry: Registry, freeBytes: () => Promise<number>): CacheMetrics {
  const registers = [registry];
  const prefix = 'nixfleet_cache';
  const labelNames = ['outcome'] as const;
  const storageFree = new Gauge({
    name: `${prefix}_storage_free_bytes`,
    help: 'Free space of the file system that holds the NARs; absent while it cannot be read.',
    registers,
    async collect() {
      await freeBytes().then(
        (bytes) => storageFree.set(bytes),
        () => storageFree.reset(),
      );
    },
  });
  return {
    narinfoRequests: new Counter({
      name: `${prefix}_narinfo_requests_total`,
      help: 'Narinfos asked for, by outcome: hit, miss, failed.',
      labelNames,
      registers,
    }),
    narRequests: new Counter({
      name: `${prefix}_nar_requests_total`,
      help: 'NARs asked for, by outcome: hit, miss, failed.',
      labelNames,
      registers,
    }),
    narSentBytes: new Counter({ name: `${prefix}_nar_sent_bytes_total`, help: 'Bytes of NARs sent.', registers }),
    uploads: new Counter({
      name: `${prefix}_uploads_total`,
      help: 'Uploads, by outcome: stored, refused (the sender is wrong), failed.',
      labelNames,
      registers,
    }),
    uploadedPaths: new Counter({
      name: `${prefix}_uploaded_paths_total`,
      help: 'Paths that uploads added.',
      registers,
    }),
    uploadedNarBytes: new Counter({
      name: `${prefix}_uploaded_nar_bytes_total`,
      help: 'NAR bytes of the paths that uploads added.',
      registers,
    }),
  };
}

/** Runs a lookup and counts how it went. */
export async function countLookup<T>(
  counter: LookupCounter,
  lookUp: () => Promise<T | undefined>,
): Promise<T | undefined> {
  try {
    const found = await lookUp();
    counter.inc({ outcome: found === undefined ? 'miss' : 'hit' });
    return found;
  } catch (error) {
    counter.inc({ outcome: 'failed' });
    throw error;
  }
}

/** What an upload's error counts as: the sender's fault, or ours. */
export const uploadOutcomeOf = (error: unknown): 'refused' | 'failed' =>
  error instanceof FleetError && error.code !== 'unavailable' && error.code !== 'timed_out' ? 'refused' : 'failed';
