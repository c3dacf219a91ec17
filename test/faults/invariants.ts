import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AckPolicy, jetstreamManager } from '@nats-io/jetstream';
import { until } from '@nixfleet/infra/testing';
import {
  type AgentReport,
  closureBuilt,
  deadLetterStream,
  type Envelope,
  eventFilter,
  hostResolved,
  type ReleaseDetail,
  reportFilter,
  reportStream,
  revisionResolved,
  serviceNames,
  streamOf,
} from '@nixfleet/schema';
import type { FaultBackend } from './fault-backend.ts';
import { readActivations, readJournal } from './holds.ts';

/** Every message of a stream that matches, decoded, oldest first. */
export async function readAll<T>(backend: FaultBackend, stream: string, filter: string): Promise<T[]> {
  const nc = await backend.connectNats();
  try {
    const manager = await jetstreamManager(nc);
    const { name, num_pending } = await manager.consumers.add(stream, {
      filter_subject: filter,
      ack_policy: AckPolicy.None,
      inactive_threshold: 60_000_000_000,
    });
    const found: T[] = [];
    if (num_pending === 0) return found;
    const consumer = await manager.jetstream().consumers.get(stream, name);
    for await (const message of await consumer.fetch({ max_messages: num_pending, expires: 10_000 }))
      found.push(message.json<T>());
    assert.equal(found.length, num_pending, `${stream} could be read to its end`);
    return found;
  } finally {
    await nc.close();
  }
}

const duplicatesOf = (keys: readonly string[]): string[] => keys.filter((key, i) => keys.indexOf(key) !== i);

/** Nothing waits to be sent, nothing was put aside. */
async function checkNothingPending(backend: FaultBackend): Promise<void> {
  for (const service of serviceNames)
    await until(async () => (await backend.query(`SELECT 1 FROM ${service}.outbox LIMIT 1`)).length === 0);
  const nc = await backend.connectNats();
  try {
    const { state } = await (await jetstreamManager(nc)).streams.info(deadLetterStream.name);
    assert.equal(state.messages, 0, 'dead letters');
  } finally {
    await nc.close();
  }
}

/** Each revision, host and closure was announced once, and each announcement had its effect. */
async function checkEvents(backend: FaultBackend): Promise<void> {
  const eventsOf = (contract: typeof closureBuilt | typeof hostResolved | typeof revisionResolved) =>
    readAll<Envelope<{ revision: string; host?: string }>>(backend, streamOf(contract), eventFilter(contract));
  const keyOf = ({ data }: Envelope<{ revision: string; host?: string }>): string =>
    `${data.revision} ${data.host ?? ''}`.trim();
  const revisions = await backend.query<{ key: string }>('SELECT revision AS key FROM resolver.revision');
  const hosts = await backend.query<{ key: string }>(
    `SELECT revision || ' ' || host AS key FROM resolver.revision_host ORDER BY 1`,
  );
  const built = await backend.query<{ key: string }>(
    `SELECT revision || ' ' || host AS key FROM resolver.revision_host WHERE built ORDER BY 1`,
  );
  const expected = [
    { contract: revisionResolved, rows: revisions, consumers: ['deployer.inbox/deployer-revision-resolved'] },
    {
      contract: hostResolved,
      rows: hosts,
      consumers: ['deployer.inbox/deployer-host-resolved', 'telemetry.inbox/telemetry-host-resolved'],
    },
    { contract: closureBuilt, rows: built, consumers: ['deployer.inbox/deployer-closure-built'] },
  ];
  for (const { contract, rows, consumers } of expected) {
    const events = await eventsOf(contract);
    const keys = events.map(keyOf);
    assert.deepEqual(duplicatesOf(keys), [], `${contract.type} was announced twice`);
    assert.deepEqual(keys.toSorted(), rows.map((row) => row.key).toSorted(), `${contract.type} events`);
    const ids = events.map((event) => event.id).toSorted();
    for (const consumer of consumers) {
      const [table = '', name = ''] = consumer.split('/');
      let handled: string[] = [];
      await until(async () => {
        const found = await backend.query<{ id: string }>(
          `SELECT event_id::text AS id FROM ${table} WHERE consumer = '${name}' ORDER BY 1`,
        );
        handled = found.map((row) => row.id).toSorted();
        return handled.length >= ids.length;
      });
      assert.deepEqual(handled, ids, `what ${name} has handled`);
    }
  }
}

/** Each attempt's reports came in order, none twice, none missing. */
async function checkReports(backend: FaultBackend): Promise<void> {
  for (const { host } of backend.hosts)
    await until(async () => ((await readJournal(backend, host))?.unsent.length ?? 0) === 0);
  const reports = await readAll<AgentReport>(backend, reportStream.name, reportFilter);
  for (const [attempt, list] of Map.groupBy(reports, (report) => report.attempt))
    assert.deepEqual(
      list.map((report) => report.sequence),
      list.map((_, i) => i + 1),
      `reports of attempt ${attempt}: ${list.map((report) => report.step).join(', ')}`,
    );
}

/** No half unpacked path in any store; the cache's files are exactly what its tables say. */
async function checkDisks(backend: FaultBackend): Promise<void> {
  for (const { host } of backend.hosts) {
    const names = await readdir(backend.hostFile(host, 'nix/store')).catch(() => []);
    assert.deepEqual(
      names.filter((name) => name.startsWith('.nixfleet-partial-')),
      [],
      `half unpacked paths on ${host}`,
    );
  }
  const { cacheDir } = backend.state;
  const rows = await backend.query<{ nar_hash: string; nar_size: string }>('SELECT nar_hash, nar_size FROM cache.path');
  for (const { nar_hash, nar_size } of rows) {
    const { size } = await stat(join(cacheDir, 'nar', nar_hash.slice(0, 2), `${nar_hash}.nar`));
    assert.equal(size, Number(nar_size), nar_hash);
  }
  assert.deepEqual(await readdir(join(cacheDir, 'tmp')), [], 'temporary files of the cache');
}

/** What must hold whenever nothing is under way, whatever was killed before. */
export async function checkInvariants(backend: FaultBackend): Promise<void> {
  await checkNothingPending(backend);
  await checkEvents(backend);
  await checkReports(backend);
  await checkDisks(backend);
}

/** Every host runs the release, in exactly one new generation that was activated once. */
export async function checkConverged(
  backend: FaultBackend,
  release: ReleaseDetail,
  generations: ReadonlyMap<string, number>,
): Promise<void> {
  for (const { host, toplevel } of release.hosts) {
    const journal = await readJournal(backend, host);
    assert.equal(journal?.confirmed?.toplevel, toplevel, `${host} runs the release`);
    assert.equal(journal.lastGeneration, (generations.get(host) ?? 0) + 1, `generations of ${host}`);
    const begun = (await readActivations(backend, host)).filter((path) => path === toplevel);
    assert.equal(begun.length, 1, `activations of the release on ${host}`);
  }
}

export async function readGenerations(backend: FaultBackend): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const { host } of backend.hosts) found.set(host, (await readJournal(backend, host))?.lastGeneration ?? 0);
  return found;
}
