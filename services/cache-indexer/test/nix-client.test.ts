import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { checkMetrics, withoutPromtool } from '@nixfleet/infra/testing';
import {
  buildStoreObject,
  directory,
  formatPublicKey,
  generateKeyPair,
  type PublicKey,
  regularFile,
  removeTree,
  symlink,
  writeExport,
} from '@nixfleet/nix';
import { nixExportContentType } from '@nixfleet/schema';
import { type TestCache, TestStack } from './stack.ts';

const execute = promisify(execFile);

function findNix(): boolean {
  try {
    execFileSync('nix', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
const skip = findNix() ? false : 'nix is not installed (Debian: apt-get install nix-bin)';

const leaf = buildStoreObject({ name: 'leaf', tree: regularFile('leaf '.repeat(50_000)) });
const top = buildStoreObject({
  name: 'top',
  tree: directory({ leaf: symlink(leaf.storePath), run: regularFile(`#!${leaf.storePath}\n`, true) }),
  references: [leaf.storePath],
});

let stack: TestStack;
let cache: TestCache;
before(async () => {
  stack = await TestStack.start();
  cache = await stack.startCache();
  const parts: Uint8Array[] = [];
  for await (const part of writeExport([leaf, top])) parts.push(part);
  const response = await fetch(`${cache.url}/v1/closures`, {
    method: 'POST',
    headers: { ...stack.authorization('deploy'), 'content-type': nixExportContentType },
    body: Buffer.concat(parts),
  });
  assert.equal(response.status, 201, await response.text());
});
after(async () => {
  await cache[Symbol.asyncDispose]();
  await stack[Symbol.asyncDispose]();
});

/** Runs the installed Nix as a user of a home and a store of its own. */
async function runNix(
  dir: string,
  program: 'nix' | 'nix-store',
  args: readonly string[],
  key: PublicKey,
): Promise<string> {
  const settings = [
    ['build-users-group', ''],
    ['sandbox', 'false'],
    ['substituters', ''],
    ['trusted-public-keys', formatPublicKey(key)],
  ].flatMap(([name = '', value = '']) => ['--option', name, value]);
  const features = program === 'nix' ? ['--extra-experimental-features', 'nix-command'] : [];
  const { stdout } = await execute(program, [...features, ...settings, ...args], {
    env: { ...process.env, HOME: dir, XDG_CACHE_HOME: join(dir, 'cache') },
  });
  return stdout.trim();
}

async function withStore(work: (dir: string, store: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'nixfleet-client-'));
  try {
    await work(dir, join(dir, 'store'));
  } finally {
    await removeTree(dir);
  }
}

const copy = (dir: string, store: string, key: PublicKey): Promise<string> =>
  runNix(dir, 'nix', ['copy', '--from', cache.url, '--to', store, top.storePath], key);

test('nix copies a closure from the cache into its store and finds it intact', { skip }, async () => {
  await withStore(async (dir, store) => {
    const { publicKey } = cache.key;
    await copy(dir, store, publicKey);
    await runNix(dir, 'nix-store', ['--store', store, '--verify-path', top.storePath, leaf.storePath], publicKey);
    const requisites = await runNix(
      dir,
      'nix-store',
      ['--store', store, '--query', '--requisites', top.storePath],
      publicKey,
    );
    assert.deepEqual(requisites.split('\n').sort(), [leaf.storePath, top.storePath].sort());
    const hash = await runNix(dir, 'nix-store', ['--store', store, '--query', '--hash', leaf.storePath], publicKey);
    assert.equal(hash, leaf.narHash);
  });
});

test('nix that trusts another key refuses what the cache serves', { skip }, async () => {
  await withStore(async (dir, store) => {
    // The same name: the bytes of the key decide.
    const { publicKey } = generateKeyPair(cache.key.name);
    await assert.rejects(copy(dir, store, publicKey), /lacks a (valid )?signature|not signed by/);
    await assert.rejects(runNix(dir, 'nix-store', ['--store', store, '--verify-path', top.storePath], publicKey));
  });
});

test('promtool is content with the metrics', { skip: withoutPromtool }, async () => {
  const page = await (await fetch(`${cache.url}/metrics`)).text();
  assert.match(page, /nixfleet_cache_uploads_total\{outcome="stored"\} 1/);
  assert.equal(await checkMetrics(page), '');
});
