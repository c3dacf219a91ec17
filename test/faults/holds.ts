import { readFile, rm, writeFile } from 'node:fs/promises';
import { withClient } from '@nixfleet/infra';
import { until } from '@nixfleet/infra/testing';
import type { FaultBackend } from './fault-backend.ts';

/** What keeps a rollout in one step for as long as a test wants. */

export interface TableHold extends AsyncDisposable {
  /** Waits until somebody stands before the lock. */
  readonly isWaitedFor: () => Promise<void>;
}

/** Nothing can be written to the table; ends with Postgres, too. */
export async function holdTable(backend: FaultBackend, table: string): Promise<TableHold> {
  const release = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const done = withClient(await backend.databaseUrl(), async (client) => {
    client.on('end', () => release.resolve());
    await client.query('BEGIN');
    await client.query(`LOCK TABLE ${table} IN SHARE MODE`);
    locked.resolve();
    await release.promise;
    await client.query('ROLLBACK').catch(() => undefined);
  });
  done.catch((error: unknown) => locked.reject(error));
  await locked.promise;
  const waiting = `SELECT 1 FROM pg_locks WHERE NOT granted AND relation = '${table}'::regclass`;
  return {
    isWaitedFor: () => until(async () => (await backend.query(waiting)).length > 0),
    [Symbol.asyncDispose]: async () => {
      release.resolve();
      await done.catch(() => undefined);
    },
  };
}

/** The cache takes connections and answers nothing: whoever fetches goes on waiting. */
export async function holdFetching(backend: FaultBackend): Promise<AsyncDisposable> {
  await backend.signal('cache-indexer', 'SIGSTOP');
  return { [Symbol.asyncDispose]: () => backend.signal('cache-indexer', 'SIGCONT') };
}

/** The host's activations, or its health checks, last as long as this is held. */
export async function holdHost(
  backend: FaultBackend,
  host: string,
  step: 'activating' | 'verifying',
): Promise<AsyncDisposable> {
  const file = backend.hostFile(host, `hold-${step}`);
  await writeFile(file, '');
  return { [Symbol.asyncDispose]: () => rm(file, { force: true }) };
}

interface JournalOnDisk {
  readonly lastGeneration: number;
  readonly confirmed?: { readonly toplevel: string; readonly generation: number };
  readonly attempt?: { readonly phase: string; readonly intent: { readonly attempt: string } };
  readonly unsent: readonly unknown[];
}

/** Undefined: the host's agent has not begun anything yet. */
export async function readJournal(backend: FaultBackend, host: string): Promise<JournalOnDisk | undefined> {
  const file = backend.hostFile(host, 'var/lib/nixfleet-agent/journal.json');
  const text = await readFile(file, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as JournalOnDisk);
}

/** Waits until the host's agent is in this phase. */
export async function hostIsIn(backend: FaultBackend, host: string, phase: string): Promise<void> {
  await until(async () => (await readJournal(backend, host))?.attempt?.phase === phase);
}

/** Store paths whose activation began on the host, oldest first; one that was begun again is there again. */
export async function readActivations(backend: FaultBackend, host: string): Promise<string[]> {
  const text = await readFile(backend.hostFile(host, 'activations'), 'utf8').catch(() => '');
  return text.split('\n').filter(Boolean);
}
