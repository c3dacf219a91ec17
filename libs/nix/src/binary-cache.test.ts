import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { zstdCompressSync } from 'node:zlib';
import { FleetError } from '@nixfleet/schema';
import { toBytes, toList } from '../test/collect.ts';
import { ScratchStore, withoutNix } from '../test/real-nix.ts';
import { BinaryCache, type BinaryCacheOptions } from './binary-cache.ts';
import { signPath, verifyNarInfo } from './fingerprint.ts';
import { formatNixHash, sha256 } from './hash.ts';
import { retryAfterMs, retryDelayMs } from './http-retry.ts';
import { directory, regularFile, symlink } from './nar-node.ts';
import { unpackNar } from './nar-unpack.ts';
import { formatNarInfo, type NarInfo } from './narinfo.ts';
import { generateKeyPair } from './signature.ts';
import { buildStoreObject } from './store-object.ts';
import { hashPartOf } from './store-path.ts';

type Handler = (path: string, response: ServerResponse, request: IncomingMessage) => void;

/** A real HTTP server on the loopback with its own idea of every path. */
async function serve(handler: Handler, options: Partial<BinaryCacheOptions> = {}) {
  const server = createServer((request, response) => handler(request.url ?? '/', response, request));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const retries = { attempts: 3, firstDelayMs: 1, maxDelayMs: 20 };
  return {
    cache: new BinaryCache({ url, retries, ...options }),
    url,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const key = generateKeyPair('cache-1');
const leaf = buildStoreObject({ name: 'leaf', tree: regularFile('leaf'.repeat(1000)) });
const top = buildStoreObject({
  name: 'top',
  tree: directory({ l: symlink(leaf.storePath) }),
  references: [leaf.storePath],
});
const infoOf = (object: typeof leaf): NarInfo => ({
  storePath: object.storePath,
  url: `nar/${object.narHash.slice(7)}.nar?hash=${hashPartOf(object.storePath)}`,
  compression: 'none',
  fileHash: object.narHash,
  fileSize: object.narSize,
  narHash: object.narHash,
  narSize: object.narSize,
  references: object.references,
  signatures: [signPath(key, object)],
});
const files = new Map<string, string | Buffer>([
  ['/nix-cache-info', 'StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 30\n'],
  ...[leaf, top].flatMap((object): [string, string | Buffer][] => [
    [`/${hashPartOf(object.storePath)}.narinfo`, formatNarInfo(infoOf(object))],
    [`/${infoOf(object).url}`, object.nar],
  ]),
]);
const fromFiles: Handler = (path, response) => {
  const file = files.get(path);
  response.writeHead(file === undefined ? 404 : 200).end(file);
};
const failsWith = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof FleetError && error.code === code && message.test(error.message);

test('a closure is fetched whole by following references, and every path verifies', async () => {
  await using server = await serve(fromFiles);
  assert.deepEqual(await server.cache.fetchCacheInfo(), { storeDir: '/nix/store', wantMassQuery: true, priority: 30 });
  const closure = await server.cache.fetchClosure(top.storePath, { maxPaths: 10, concurrency: 4 });
  assert.deepEqual(
    closure.map((info) => info.storePath),
    [leaf.storePath, top.storePath].sort(),
  );
  for (const info of closure) {
    assert.ok(verifyNarInfo(info, [key.publicKey]));
    assert.equal(verifyNarInfo(info, [generateKeyPair('cache-1').publicKey]), false);
  }
  assert.deepEqual(await toBytes(await server.cache.openNar(infoOf(leaf))), leaf.nar);
});

test('identity is asked for, below the path of the base URL', async () => {
  const seen: string[] = [];
  await using server = await serve((path, response, request) => {
    seen.push(`${path} ${request.headers['accept-encoding']}`);
    response.writeHead(404).end();
  });
  const cache = new BinaryCache({ url: `${server.url}/some/cache` });
  assert.equal(await cache.fetchNarInfo(hashPartOf(leaf.storePath)), undefined);
  assert.deepEqual(seen, [`/some/cache/${hashPartOf(leaf.storePath)}.narinfo identity`]);
});

test('a hole in a closure is named, and a closure beyond the limit is refused', async () => {
  await using server = await serve((path, response) =>
    path.startsWith(`/${hashPartOf(leaf.storePath)}`)
      ? response.writeHead(404).end()
      : fromFiles(path, response, {} as never),
  );
  await assert.rejects(
    server.cache.fetchClosure(top.storePath, { maxPaths: 10, concurrency: 2 }),
    failsWith('not_found', new RegExp(leaf.storePath)),
  );
  await assert.rejects(
    server.cache.fetchClosure(top.storePath, { maxPaths: 1, concurrency: 2 }),
    failsWith('too_large', /more than 1 /),
  );
});

test('an answer about another path is refused', async () => {
  await using server = await serve((_, response) => response.end(formatNarInfo(infoOf(leaf))));
  await assert.rejects(server.cache.fetchNarInfo(hashPartOf(top.storePath)), failsWith('invalid_input', /answers/));
  const renamed = leaf.storePath.replace('leaf', 'lure');
  await assert.rejects(
    server.cache.fetchClosure(renamed, { maxPaths: 9, concurrency: 1 }),
    failsWith('invalid_input', /is wanted/),
  );
  await assert.rejects(server.cache.fetchNarInfo('../../etc/passwd'), failsWith('invalid_input', /hash part/));
  await assert.rejects(
    server.cache.fetchCacheInfo().then(() => server.cache.fetchNarInfo('x')),
    failsWith('invalid_input', /./),
  );
});

test('a cache for another store directory, and what is no cache, are refused', async () => {
  await using other = await serve((_, response) => response.end('StoreDir: /gnu/store\n'));
  await assert.rejects(other.cache.fetchCacheInfo(), failsWith('invalid_input', /\/gnu\/store/));
  await using none = await serve((_, response) => response.writeHead(404).end());
  await assert.rejects(none.cache.fetchCacheInfo(), failsWith('not_found', /no binary cache/));
  await using bare = await serve((_, response) => response.end('Priority: x\n'));
  assert.deepEqual((await bare.cache.fetchCacheInfo()).wantMassQuery, false);
});

test('a NAR that is not what its narinfo says fails at the latest at its end', async () => {
  const bodies = new Map([
    ['/short', leaf.nar.subarray(0, -8)],
    ['/long', Buffer.concat([leaf.nar, Buffer.alloc(8)])],
    ['/other', Buffer.from(leaf.nar).fill('L', 200, 204)],
  ]);
  await using server = await serve((path, response) => response.end(bodies.get(path)));
  for (const path of bodies.keys())
    await assert.rejects(
      async () => toList(await server.cache.openNar({ ...infoOf(leaf), url: path.slice(1) })),
      failsWith('invalid_input', /NAR of .*leaf/),
      path,
    );
  await assert.rejects(
    server.cache.openNar({ ...infoOf(leaf), compression: 'xz' }),
    failsWith('invalid_input', /xz is not supported/),
  );
  const small = new BinaryCache({ url: server.url, maxNarBytes: 10 });
  await assert.rejects(small.openNar(infoOf(leaf)), failsWith('too_large', /at most 10/));
});

test('a missing NAR is not found', async () => {
  await using server = await serve((_, response) => response.writeHead(404).end());
  await assert.rejects(server.cache.openNar(infoOf(leaf)), failsWith('not_found', /no NAR/));
});

test('zstd NARs are checked compressed and decompressed', async () => {
  const file = zstdCompressSync(leaf.nar);
  const info = { ...infoOf(leaf), compression: 'zstd', fileHash: formatNixHash(sha256(file)), fileSize: file.length };
  await using server = await serve((path, response) => response.end(path.includes('bad') ? leaf.nar : file));
  assert.deepEqual(await toBytes(await server.cache.openNar(info)), leaf.nar);
  const { fileHash: _hash, fileSize: _size, ...unsized } = info;
  assert.deepEqual(await toBytes(await server.cache.openNar(unsized)), leaf.nar);
  await assert.rejects(
    async () => toList(await server.cache.openNar({ ...unsized, url: 'bad' })),
    failsWith('invalid_input', /not valid zstd/),
  );
  await assert.rejects(
    async () => toList(await server.cache.openNar({ ...info, url: 'bad' })),
    failsWith('invalid_input', /compressed NAR/),
  );
});

test('busy and failing caches are asked again, then given up with the last answer', async () => {
  let requests = 0;
  await using server = await serve((path, response, request) => {
    requests += 1;
    if (requests === 1) response.writeHead(503, { 'retry-after': '0' }).end('busy');
    else if (requests === 2) response.destroy();
    else fromFiles(path, response, request);
  });
  assert.ok(await server.cache.fetchNarInfo(hashPartOf(leaf.storePath)));
  assert.equal(requests, 3);
  await using broken = await serve((_, response) => response.writeHead(500).end());
  await assert.rejects(
    broken.cache.fetchNarInfo(hashPartOf(leaf.storePath)),
    failsWith('unavailable', /answered 500 \(3 attempts\)/),
  );
  await using odd = await serve((_, response) => response.writeHead(400).end());
  await assert.rejects(odd.cache.fetchNarInfo(hashPartOf(leaf.storePath)), failsWith('unavailable', /answered 400/));
});

test('silence and stalled bodies end in unavailable, an aborted signal in its reason', async () => {
  await using silent = await serve(() => undefined, { idleTimeoutMs: 30 });
  await assert.rejects(silent.cache.fetchCacheInfo(), failsWith('unavailable', /no answer within 30 ms/));
  await using stalled = await serve((_, response) => void response.write('StoreDir'), { idleTimeoutMs: 100 });
  await assert.rejects(stalled.cache.fetchCacheInfo(), failsWith('unavailable', /broke off/));
  const reason = new Error('shutting down');
  await using aborted = await serve(() => undefined, { signal: AbortSignal.abort(reason) });
  await assert.rejects(aborted.cache.fetchCacheInfo(), reason);
});

test('an endless narinfo is cut', async () => {
  await using server = await serve((_, response) => response.end(Buffer.alloc(3 * 1024 * 1024, 'x')));
  await assert.rejects(server.cache.fetchNarInfo(hashPartOf(leaf.storePath)), failsWith('too_large', /more than/));
});

test('Retry-After is read in both forms, and waits double up to their bound', () => {
  const nowMs = Date.parse('2026-11-23T09:00:00Z');
  assert.equal(retryAfterMs('7', nowMs), 7000);
  assert.equal(retryAfterMs('Mon, 23 Nov 2026 09:00:05 GMT', nowMs), 5000);
  assert.equal(retryAfterMs('Mon, 23 Nov 2026 08:00:05 GMT', nowMs), 0);
  assert.equal(retryAfterMs('soon', nowMs), undefined);
  assert.equal(retryAfterMs(null, nowMs), undefined);
  const policy = { attempts: 5, firstDelayMs: 100, maxDelayMs: 1000 };
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((n) => retryDelayMs(policy, n, undefined, 0)),
    [100, 200, 400, 800, 1000],
  );
  assert.equal(retryDelayMs(policy, 1, undefined, 0.5), 125);
  assert.equal(retryDelayMs(policy, 1, 700, 0), 700);
  assert.equal(retryDelayMs(policy, 1, 60_000, 0), 1000);
});

test('a cache that nix itself wrote is read, and its NARs unpack', { skip: withoutNix }, async () => {
  await using store = new ScratchStore();
  await mkdir(join(store.dir, 'tree'));
  await writeFile(join(store.dir, 'tree', 'file'), 'x'.repeat(100_000));
  const path = await store.line('nix-store', '--add', join(store.dir, 'tree'));
  const cacheDir = join(store.dir, 'cache');
  await store.run('nix', 'copy', '--to', `${pathToFileURL(cacheDir).href}?compression=zstd`, path);
  await using server = await serve((url, response) => {
    readFile(join(cacheDir, url)).then(
      (bytes) => response.end(bytes),
      () => response.writeHead(404).end(),
    );
  });
  const [info] = await server.cache.fetchClosure(path, { maxPaths: 10, concurrency: 1 });
  assert.ok(info !== undefined);
  assert.equal(info.compression, 'zstd');
  await unpackNar(await server.cache.openNar(info), join(store.dir, 'out'));
  assert.deepEqual(await readFile(join(store.dir, 'out', 'file')), await readFile(join(store.dir, 'tree', 'file')));
});
