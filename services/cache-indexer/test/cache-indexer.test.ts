import assert from 'node:assert/strict';
import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { until } from '@nixfleet/infra/testing';
import {
  BinaryCache,
  buildStoreObject,
  closureDigest,
  directory,
  hashPartOf,
  regularFile,
  type StoreObject,
  symlink,
  verifyNarInfo,
  writeExport,
} from '@nixfleet/nix';
import {
  type ClosureStatus,
  closureAvailable,
  nixExportContentType,
  pathIndexed,
  type UploadResult,
} from '@nixfleet/schema';
import { type TestCache, TestStack } from './stack.ts';

let stack: TestStack;
before(async () => {
  stack = await TestStack.start();
});
after(() => stack[Symbol.asyncDispose]());

const leaf = buildStoreObject({ name: 'leaf', tree: regularFile('leaf '.repeat(100_000)) });
const left = buildStoreObject({ name: 'left', tree: symlink(leaf.storePath), references: [leaf.storePath] });
const top = buildStoreObject({
  name: 'top',
  tree: directory({ left: symlink(left.storePath), leaf: regularFile(leaf.storePath, true) }),
  references: [left.storePath, leaf.storePath],
});
const closure = [leaf, left, top];

async function send(
  cache: TestCache,
  body: Uint8Array | ReadableStream<Uint8Array>,
  role: 'readonly' | 'deploy' = 'deploy',
): Promise<Response> {
  return fetch(`${cache.url}/v1/closures`, {
    method: 'POST',
    headers: { ...stack.authorization(role), 'content-type': nixExportContentType },
    body,
    duplex: 'half',
  });
}

async function bytesOf(objects: readonly StoreObject[]): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of writeExport(objects)) parts.push(part);
  return Buffer.concat(parts);
}

async function upload(cache: TestCache, objects: readonly StoreObject[]): Promise<UploadResult> {
  const response = await send(cache, await bytesOf(objects));
  assert.equal(response.status, 201, await response.clone().text());
  return (await response.json()) as UploadResult;
}

async function refusal(response: Response): Promise<{ status: number; code: string; message: string }> {
  const { error } = (await response.json()) as { error: { code: string; message: string } };
  return { status: response.status, ...error };
}

const ask = async (cache: TestCache, path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`${cache.url}${path}`, init);
const narInfoUrl = (object: StoreObject): string => `/${hashPartOf(object.storePath)}.narinfo`;
const narUrl = (object: StoreObject): string =>
  `/nar/${object.narHash.slice(7)}.nar?hash=${hashPartOf(object.storePath)}`;

async function statusOf(cache: TestCache, object: StoreObject): Promise<ClosureStatus> {
  const response = await ask(cache, `/v1/closures/${hashPartOf(object.storePath)}`, {
    headers: stack.authorization('readonly'),
  });
  assert.equal(response.status, 200);
  return (await response.json()) as ClosureStatus;
}

test('an uploaded closure is served signed, complete and byte for byte', async () => {
  await using cache = await stack.startCache();
  const result = await upload(cache, closure);
  const summary = {
    toplevel: top.storePath,
    closureDigest: closureDigest(closure),
    pathCount: 3,
    closureSizeBytes: closure.reduce((sum, object) => sum + object.narSize, 0),
  };
  assert.deepEqual(result, {
    upload: result.upload,
    added: 3,
    known: 0,
    narSizeBytes: summary.closureSizeBytes,
    closures: [summary],
  });
  assert.deepEqual(await statusOf(cache, top), { state: 'complete', ...summary });
  const client = new BinaryCache({ url: cache.url });
  assert.deepEqual(await client.fetchCacheInfo(), { storeDir: '/nix/store', wantMassQuery: true, priority: 30 });
  const infos = await client.fetchClosure(top.storePath, { maxPaths: 10, concurrency: 4 });
  assert.equal(closureDigest(infos), summary.closureDigest);
  for (const info of infos) {
    assert.ok(verifyNarInfo(info, [cache.key.publicKey]));
    const parts: Uint8Array[] = [];
    for await (const part of await client.openNar(info)) parts.push(part);
    assert.deepEqual(Buffer.concat(parts), closure.find((object) => object.storePath === info.storePath)?.nar);
  }
});

test('an upload announces its paths and its closures, once', async () => {
  await using cache = await stack.startCache();
  const leaves = Array.from({ length: 1100 }, (_, i) =>
    buildStoreObject({ name: `leaf-${i}`, tree: regularFile(String(i)) }),
  );
  const root = buildStoreObject({
    name: 'many',
    tree: regularFile('many'),
    references: leaves.map((object) => object.storePath),
  });
  const { upload: id } = await upload(cache, [...leaves, root]);
  const indexed = () => stack.servers.eventsOf(pathIndexed);
  await until(async () => (await indexed()).filter((event) => event.data.upload === id).length === 3);
  const paths = (await indexed()).filter((event) => event.data.upload === id).flatMap((event) => event.data.storePaths);
  assert.deepEqual(paths.sort(), [...leaves, root].map((object) => object.storePath).sort());
  const closures = await stack.servers.eventsOf(closureAvailable);
  assert.deepEqual(
    closures.filter((event) => event.data.toplevel === root.storePath).map((event) => event.data.pathCount),
    [1101],
  );
});

test('what is known already is counted as such, and the missing ones are told beforehand', async () => {
  await using cache = await stack.startCache();
  const missing = async (): Promise<string[]> => {
    const response = await ask(cache, '/v1/paths/missing', {
      method: 'POST',
      headers: { ...stack.authorization('deploy'), 'content-type': 'application/json' },
      body: JSON.stringify({ storePaths: closure.map((object) => object.storePath) }),
    });
    return ((await response.json()) as { missing: string[] }).missing;
  };
  assert.deepEqual(
    await missing(),
    closure.map((object) => object.storePath),
  );
  await upload(cache, [leaf]);
  assert.deepEqual(await missing(), [left.storePath, top.storePath]);
  const { added, known, closures } = await upload(cache, closure);
  assert.deepEqual([added, known, closures.map((c) => c.pathCount)], [2, 1, [3]]);
  assert.deepEqual(await missing(), []);
  assert.deepEqual(await upload(cache, closure).then(({ added, known }) => [added, known]), [0, 3]);
});

test('an upload whose references are nowhere is refused whole and named', async () => {
  await using cache = await stack.startCache();
  const refused = await refusal(await send(cache, await bytesOf([left, top])));
  assert.deepEqual([refused.status, refused.code], [409, 'conflict']);
  assert.match(refused.message, new RegExp(leaf.storePath));
  assert.equal((await ask(cache, narInfoUrl(left))).status, 404);
  assert.deepEqual(await readdir(join(cache.storageDir, 'tmp')), []);
  assert.deepEqual(await readdir(join(cache.storageDir, 'nar')), []);
  assert.deepEqual(await statusOf(cache, top), { state: 'unknown' });
});

test('other contents under a known path are a conflict, and what is there stays', async () => {
  await using cache = await stack.startCache();
  await upload(cache, [leaf]);
  const forged = { ...buildStoreObject({ name: 'leaf', tree: regularFile('forged') }), storePath: leaf.storePath };
  const stranger = buildStoreObject({ name: 'stranger', tree: regularFile('x') });
  const refused = await refusal(await send(cache, await bytesOf([stranger, forged])));
  assert.deepEqual([refused.status, refused.code], [409, 'conflict']);
  const info = await new BinaryCache({ url: cache.url }).fetchNarInfo(hashPartOf(leaf.storePath));
  assert.equal(info?.narHash, leaf.narHash);
  assert.equal((await ask(cache, narInfoUrl(stranger))).status, 404);
});

test('uploads that are cut off, malformed, too large or of another type leave nothing', async () => {
  await using cache = await stack.startCache({ NIXFLEET_CACHE_MAX_UPLOAD_BYTES: '2000' });
  const small = buildStoreObject({ name: 'small', tree: regularFile('small') });
  const bytes = await bytesOf([small]);
  const cut = await refusal(await send(cache, bytes.subarray(0, -16)));
  assert.deepEqual([cut.status, cut.code], [422, 'invalid_input']);
  assert.equal((await refusal(await send(cache, Buffer.alloc(64, 1)))).status, 422);
  assert.equal((await refusal(await send(cache, Buffer.alloc(8)))).status, 422);
  assert.equal((await refusal(await send(cache, await bytesOf([leaf])))).code, 'too_large');
  const chunked = await refusal(await send(cache, new Blob([Uint8Array.from(await bytesOf([leaf]))]).stream()));
  assert.equal(chunked.code, 'too_large');
  const typed = await ask(cache, '/v1/closures', {
    method: 'POST',
    headers: { ...stack.authorization('deploy'), 'content-type': 'application/json' },
    body: '{}',
  });
  assert.equal(typed.status, 422);
  assert.deepEqual(await readdir(join(cache.storageDir, 'tmp')), []);
  assert.equal((await upload(cache, [small])).added, 1);
});

test('two uploads of the same paths at once both succeed', async () => {
  await using cache = await stack.startCache();
  const results = await Promise.all(
    Array.from({ length: 6 }, (_, i) => upload(cache, i % 2 === 0 ? closure : [leaf, left])),
  );
  assert.equal(
    results.reduce((sum, result) => sum + result.added, 0),
    3,
  );
});

test('only deploy operators may upload, questions need readonly, the cache itself is open', async () => {
  await using cache = await stack.startCache();
  assert.equal((await send(cache, await bytesOf([leaf]), 'readonly')).status, 403);
  assert.equal((await ask(cache, '/v1/closures', { method: 'POST' })).status, 401);
  assert.equal((await ask(cache, `/v1/closures/${hashPartOf(leaf.storePath)}`)).status, 401);
  assert.equal((await ask(cache, '/nix-cache-info')).status, 200);
  const bad = await ask(cache, `/v1/closures/${'e'.repeat(32)}`, { headers: stack.authorization('readonly') });
  assert.equal(bad.status, 422);
});

test('headers are those that Nix and the proxies before us need', async () => {
  await using cache = await stack.startCache();
  await upload(cache, closure);
  const info = await ask(cache, '/nix-cache-info');
  assert.equal(info.headers.get('content-type'), 'text/x-nix-cache-info');
  const hit = await ask(cache, narInfoUrl(top));
  assert.deepEqual(
    ['content-type', 'cache-control'].map((name) => hit.headers.get(name)),
    ['text/x-nix-narinfo', 'public, max-age=86400'],
  );
  const head = await ask(cache, narInfoUrl(top), { method: 'HEAD' });
  assert.deepEqual(
    [head.status, head.headers.get('content-length'), await head.text()],
    [200, String((await hit.text()).length), ''],
  );
  for (const path of [
    `/${'0'.repeat(32)}.narinfo`,
    '/nothing.narinfo',
    `/nar/${'0'.repeat(52)}.nar`,
    '/nar/x.nar',
    '/x',
  ]) {
    const miss = await ask(cache, path);
    assert.deepEqual([miss.status, miss.headers.get('cache-control')], [404, 'no-store'], path);
  }
});

test('NARs are served whole, by range and by HEAD', async () => {
  await using cache = await stack.startCache();
  await upload(cache, [leaf]);
  const whole = await ask(cache, narUrl(leaf));
  assert.deepEqual(
    ['content-type', 'content-length', 'accept-ranges'].map((name) => whole.headers.get(name)),
    ['application/x-nix-archive', String(leaf.narSize), 'bytes'],
  );
  assert.deepEqual(Buffer.from(await whole.arrayBuffer()), leaf.nar);
  const part = await ask(cache, narUrl(leaf), { headers: { range: 'bytes=100-199' } });
  assert.deepEqual([part.status, part.headers.get('content-range')], [206, `bytes 100-199/${leaf.narSize}`]);
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), leaf.nar.subarray(100, 200));
  const beyond = await ask(cache, narUrl(leaf), { headers: { range: `bytes=${leaf.narSize}-` } });
  assert.deepEqual([beyond.status, beyond.headers.get('content-range')], [416, `bytes */${leaf.narSize}`]);
  const head = await ask(cache, narUrl(leaf), { method: 'HEAD' });
  assert.deepEqual([head.status, head.headers.get('content-length')], [200, String(leaf.narSize)]);
  const metrics = await (await ask(cache, '/metrics')).text();
  assert.match(metrics, new RegExp(`nixfleet_cache_nar_sent_bytes_total ${leaf.narSize + 100}\\n`));
  assert.match(metrics, /nixfleet_cache_uploads_total\{outcome="stored"\} 1\n/);
  assert.match(metrics, /nixfleet_cache_storage_free_bytes [1-9]/);
});

test('a storage that is not mounted is 503 with Retry-After, never a missing NAR', async () => {
  await using cache = await stack.startCache();
  await upload(cache, [leaf]);
  await rename(cache.storageDir, `${cache.storageDir}.away`);
  const answer = await ask(cache, narUrl(leaf));
  assert.equal(answer.status, 503);
  assert.ok(answer.headers.get('retry-after'));
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  await rename(`${cache.storageDir}.away`, cache.storageDir);
  const back = await ask(cache, narUrl(leaf));
  assert.deepEqual([back.status, (await back.arrayBuffer()).byteLength], [200, leaf.narSize]);
});
