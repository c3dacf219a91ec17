import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildStoreObject, generateKeyPair, hashPartOf, parseNarInfo, regularFile, verifyNarInfo } from '@nixfleet/nix';
import { renderNarInfo } from './narinfo.ts';

const leaf = buildStoreObject({ name: 'leaf', tree: regularFile('leaf') });
const top = buildStoreObject({ name: 'top', tree: regularFile('top'), references: [leaf.storePath] });

test('a narinfo points at its NAR by hash and is signed by every key, without a content address', () => {
  const keys = [generateKeyPair('old-1'), generateKeyPair('new-1')];
  const deriver = `${leaf.storePath}.drv`;
  const text = renderNarInfo({ ...top, deriver }, keys);
  const info = parseNarInfo(text);
  assert.equal(info.url, `nar/${top.narHash.slice(7)}.nar?hash=${hashPartOf(top.storePath)}`);
  assert.deepEqual([info.compression, info.fileHash, info.fileSize], ['none', top.narHash, top.narSize]);
  assert.deepEqual(info.references, [leaf.storePath]);
  assert.equal(info.deriver, deriver);
  for (const key of keys) assert.ok(verifyNarInfo(info, [key.publicKey]));
  assert.ok(!text.includes('CA:'));
  assert.ok(!renderNarInfo(leaf, keys).includes('References'));
});
