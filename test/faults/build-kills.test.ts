import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildFleet } from '@nixfleet/fleet';
import { until } from '@nixfleet/infra/testing';
import { writeExport } from '@nixfleet/nix';
import { loadFleet } from '../../apps/cli/src/fleet-directory.ts';
import { sortByReferences } from '../../services/config-resolver/src/cache-uploader.ts';
import { FaultBackend } from './fault-backend.ts';
import { writeFaultFleet } from './fault-fleet.ts';
import { holdTable } from './holds.ts';
import { checkInvariants } from './invariants.ts';

let backend: FaultBackend;
before(async () => {
  backend = await FaultBackend.start({ withoutAgent: ['web-01', 'web-02', 'web-03'] });
});
after(async () => backend[Symbol.asyncDispose]());

/** A revision whose upload is under way: its files are received, its rows can't be written. */
async function submitHeld(text: string): Promise<{ revision: string } & AsyncDisposable> {
  const hold = await holdTable(backend, 'cache.path');
  const { revision } = await backend.submit(text);
  await hold.isWaitedFor();
  return { revision, [Symbol.asyncDispose]: () => hold[Symbol.asyncDispose]() };
}

/** Sends an upload up to its last bytes, and keeps the connection. */
async function* withoutItsEnd(parts: AsyncIterable<Uint8Array>, broken: Promise<unknown>): AsyncGenerator<Uint8Array> {
  let last: Uint8Array | undefined;
  for await (const part of parts) {
    if (last !== undefined) yield last;
    last = part;
  }
  await broken;
}

test('cache-indexer dies while it receives an upload: what it had received is gone with its next start', async () => {
  const { urls, secrets } = backend.backend;
  const { fleetDir } = backend;
  await writeFaultFleet(fleetDir, backend.hosts, 'never wholly sent');
  const { hosts } = buildFleet(await loadFleet(fleetDir));
  const broken = Promise.withResolvers<void>();
  const upload = fetch(`${urls.cache}/v1/closures`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-nix-export', authorization: `Bearer ${secrets.uploadToken}` },
    body: ReadableStream.from(withoutItsEnd(writeExport(sortByReferences(hosts[0]?.paths ?? [])), broken.promise)),
    duplex: 'half',
  });
  // Noticed as soon as it breaks, told below.
  upload.catch(() => undefined);
  const temporary = (): Promise<string[]> => readdir(join(backend.state.cacheDir, 'tmp'));
  await until(async () => (await temporary()).length > 0);
  await backend.kill('cache-indexer');
  await assert.rejects(upload);
  broken.resolve();
  assert.notDeepEqual(await temporary(), []);
  await backend.isBack('cache-indexer');
  assert.deepEqual(await temporary(), []);
});

for (const name of ['config-resolver', 'cache-indexer', 'Postgres', 'nats-server'])
  test(`${name} dies while closures are uploaded: each is built and announced once, and nothing is left half stored`, async () => {
    await using upload = await submitHeld(`${name} dies during the upload`);
    await backend.kill(name);
    await upload[Symbol.asyncDispose]();
    await until(async () => (await backend.revision(upload.revision)).state === 'built');
    await checkInvariants(backend);
  });

test('config-resolver dies as it announces closures that are uploaded: each is announced once', async () => {
  // Submitting needs the table as well: it is locked between that and the upload, which the cache does not take yet.
  await using cacheStopped = { [Symbol.asyncDispose]: () => backend.signal('cache-indexer', 'SIGCONT') };
  await backend.isBack('cache-indexer');
  await backend.signal('cache-indexer', 'SIGSTOP');
  const { revision } = await backend.submit('config-resolver dies as it announces');
  await using announcing = await holdTable(backend, 'resolver.revision_host');
  await cacheStopped[Symbol.asyncDispose]();
  await announcing.isWaitedFor();
  await backend.kill('config-resolver');
  await announcing[Symbol.asyncDispose]();
  await until(async () => (await backend.revision(revision)).state === 'built');
  await checkInvariants(backend);
});
