import { setTimeout as sleep } from 'node:timers/promises';
import type { BuiltFleet, BuiltHost } from '@nixfleet/fleet';
import { closureBuilt, FleetError } from '@nixfleet/schema';
import { type Database, type Logger, publishEvent } from '@nixfleet/service';
import { buildPolitely } from './build-politely.ts';
import type { CacheUploader } from './cache-uploader.ts';
import { type BuildJob, finishBuild, leaseBuild, markBuilt, postponeBuild, renewBuild } from './store/revisions.ts';
import type { ResolverTables } from './store/tables.ts';

export interface BuilderDeps {
  readonly db: Database<ResolverTables>;
  readonly log: Logger;
  readonly uploader: CacheUploader;
  readonly onBuilt: (hosts: number) => void;
}

/** How long a build stands still after its resolver was killed; resolving a large fleet renews nothing for seconds. */
const leaseSeconds = 15;
const renewEveryMs = 4000;
/** Hosts whose closures go up together: their shared paths travel once. */
const hostsPerBatch = 200;
const idleMs = 1000;
const maxDelaySeconds = 60;

/**
 * Brings the closures of resolved revisions into the cache until the signal. Two instances share the work by leases; what
 * a killed one had uploaded is not sent again, since the cache is asked first.
 */
export class Builder {
  readonly #deps: BuilderDeps;
  /** The revision that was built last: a submission and its build usually follow each other. */
  #recent: { readonly revision: string; readonly fleet: BuiltFleet } | undefined;
  #wake = Promise.withResolvers<void>();

  constructor(deps: BuilderDeps) {
    this.#deps = deps;
  }

  /** Hands over a fleet that was just built in memory, and starts at once. */
  submit(revision: string, fleet: BuiltFleet): void {
    this.#recent = { revision, fleet };
    this.#wake.resolve();
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#wake = Promise.withResolvers<void>();
      const busy = await this.#buildOne(signal).catch((error: unknown) => {
        if (!signal.aborted) this.#deps.log.error({ err: error }, 'the builder could not ask for work, trying again');
        return false;
      });
      if (!busy) await Promise.race([this.#wake.promise, sleep(idleMs, undefined, { signal }).catch(() => undefined)]);
    }
  }

  /** True when there was something to build. */
  async #buildOne(signal: AbortSignal): Promise<boolean> {
    const { db, log } = this.#deps;
    const job = await db.transaction((tx) => leaseBuild(tx, leaseSeconds));
    if (job === undefined) return false;
    try {
      await this.#build(job, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      await this.#postpone(job, error);
      log.warn({ revision: job.revision, tries: job.tries, err: error }, 'closures could not be uploaded');
    }
    return true;
  }

  /** Until disposed no other instance takes the build over. */
  #keepLease({ revision }: BuildJob): Disposable {
    const { db, log } = this.#deps;
    const timer = setInterval(() => {
      db.transaction((tx) => renewBuild(tx, revision, leaseSeconds)).catch((error: unknown) => {
        log.warn({ revision, err: error }, 'the lease of a build could not be renewed');
      });
    }, renewEveryMs);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  async #build(job: BuildJob, signal: AbortSignal): Promise<void> {
    using _lease = this.#keepLease(job);
    const fleet = this.#recent?.revision === job.revision ? this.#recent.fleet : await buildPolitely(job.files);
    this.#recent = { revision: job.revision, fleet };
    for (let start = 0; start < fleet.hosts.length; start += hostsPerBatch) {
      const batch = fleet.hosts.slice(start, start + hostsPerBatch);
      await this.#deps.uploader.upload(batch, signal);
      await this.#announce(job, batch);
    }
    await this.#deps.db.transaction((tx) => finishBuild(tx, job.revision, 'built'));
    this.#deps.log.info({ revision: job.revision, hosts: fleet.hosts.length }, 'every closure is in the cache');
  }

  /** Marks the hosts and announces each closure once, in one transaction. */
  async #announce(job: BuildJob, hosts: readonly BuiltHost[]): Promise<void> {
    const announced = await this.#deps.db.transaction(async (tx) => {
      const fresh = new Set(
        await markBuilt(
          tx,
          job.revision,
          hosts.map((h) => h.host),
        ),
      );
      for (const host of hosts) {
        if (!fresh.has(host.host)) continue;
        const { toplevel, closureDigest } = host;
        const closureSizeBytes = host.paths.reduce((sum, path) => sum + path.narSize, 0);
        const data = {
          revision: job.revision,
          fleet: job.fleet,
          host: host.host,
          toplevel,
          closureDigest,
          pathCount: host.paths.length,
          closureSizeBytes,
        };
        await publishEvent(tx, closureBuilt, data, { traceId: job.traceId });
      }
      return fresh.size;
    });
    this.#deps.onBuilt(announced);
  }

  /** What can pass is tried again for as long as it takes, ever more seldom; what cannot ends the revision. */
  async #postpone(job: BuildJob, error: unknown): Promise<void> {
    const message = error instanceof Error ? error.message : String(error);
    const final = error instanceof FleetError && error.code !== 'unavailable' && error.code !== 'timed_out';
    await this.#deps.db.transaction((tx) =>
      final
        ? finishBuild(tx, job.revision, 'failed', message)
        : postponeBuild(tx, job.revision, Math.min(maxDelaySeconds, 2 ** Math.min(job.tries, 6)), message),
    );
  }
}
