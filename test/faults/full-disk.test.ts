import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildFleet } from '@nixfleet/fleet';
import { until } from '@nixfleet/infra/testing';
import { hashPartOf, writeExport } from '@nixfleet/nix';
import { loadFleet } from '../../apps/cli/src/fleet-directory.ts';
import { sortByReferences } from '../../services/config-resolver/src/cache-uploader.ts';
import { FaultBackend } from './fault-backend.ts';
import { readJournal } from './holds.ts';
import { checkConverged, checkInvariants, readGenerations } from './invariants.ts';
import { SmallDisk, withoutSmallDisks } from './small-disk.ts';

const skip = withoutSmallDisks();
const host = 'web-01';
/** A file that does not fit into what a full disk has left. */
const filler = (letter: string): string => letter.repeat(200_000);

let backend: FaultBackend;
let hostDisk: SmallDisk;
let cacheDisk: SmallDisk;
const disks = new AsyncDisposableStack();
before(async () => {
  if (skip !== false) return;
  backend = await FaultBackend.start({
    hosts: [{ host, site: 'north' }],
    prepare: async (state) => {
      hostDisk = disks.use(await SmallDisk.mount(state.hostRoot(host), 6 * 1024));
      cacheDisk = disks.use(await SmallDisk.mount(state.cacheDir, 6 * 1024));
    },
  });
  const first = await backend.startRollout(await backend.release('fits'));
  assert.equal((await backend.ended(first)).state, 'completed');
});
after(async () => {
  // The disks go when nobody uses them any more, and before the directory that they are in.
  await backend?.supervisor[Symbol.asyncDispose]();
  await disks.disposeAsync();
  await backend?.[Symbol.asyncDispose]();
});

for (const [leftKiB, letter, told] of [
  [96, 'a', 'nearly full'],
  [0, 'b', 'full to the last byte'],
] as const)
  test(`a host whose disk is ${told} reports storage_full and keeps its closure; with space a new attempt converges`, {
    skip,
  }, async () => {
    const before = await readJournal(backend, host);
    const release = await backend.release(`does not fit ${told}`, filler(letter));
    await hostDisk.fill(leftKiB);
    const paused = await backend.ended(await backend.startRollout(release));
    assert.equal(paused.state, 'paused');
    assert.deepEqual(
      paused.targets.map(({ state, step, reason }) => [state, step, reason]),
      [['failed', 'failed', 'storage_full']],
    );
    assert.deepEqual((await readJournal(backend, host))?.confirmed, before?.confirmed);
    assert.notEqual(await readFile(backend.hostFile(host, 'etc/release'), 'utf8'), `does not fit ${told}`);
    assert.deepEqual(
      (await readdir(backend.hostFile(host, 'nix/store'))).filter((name) => name.startsWith('.')),
      [],
    );
    await hostDisk.free();
    await backend.cancel(paused.rollout);
    const generations = await readGenerations(backend);
    const end = await backend.ended(await backend.startRollout(release));
    assert.equal(end.state, 'completed', JSON.stringify(end.targets));
    await checkConverged(backend, release, generations);
    await checkInvariants(backend);
  });

test('a cache whose storage is full refuses an upload as unavailable, shows nothing of it, and takes it with space', {
  skip,
}, async () => {
  const { urls, secrets } = backend.backend;
  await cacheDisk.fill(16);
  const rows = (): Promise<{ n: string }[]> => backend.query('SELECT count(*) AS n FROM cache.path');
  const before = await rows();
  const { revision } = await backend.submit('does not fit into the cache', filler('c'));
  const [built] = buildFleet(await loadFleet(backend.fleetDir)).hosts;
  assert.ok(built);
  const refused = await fetch(`${urls.cache}/v1/closures`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-nix-export', authorization: `Bearer ${secrets.uploadToken}` },
    body: ReadableStream.from(writeExport(sortByReferences(built.paths))),
    duplex: 'half',
  });
  assert.equal(refused.status, 503);
  assert.match(await refused.text(), /the NAR storage can't be written: ENOSPC/);
  await until(async () => /ENOSPC/.test((await backend.revision(revision)).failure ?? ''));
  assert.equal((await backend.revision(revision)).state, 'building');
  assert.deepEqual(await rows(), before);
  assert.deepEqual(await readdir(join(backend.state.cacheDir, 'tmp')), []);
  assert.equal((await fetch(`${urls.cache}/${hashPartOf(built.toplevel)}.narinfo`)).status, 404);
  await cacheDisk.free();
  await until(async () => (await backend.revision(revision)).state === 'built');
  await checkInvariants(backend);
});
