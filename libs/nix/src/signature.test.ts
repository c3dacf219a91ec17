import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { FleetError } from '@nixfleet/schema';
import { ScratchStore, withoutNix } from '../test/real-nix.ts';
import { pathFingerprint, signPath, verifyNarInfo } from './fingerprint.ts';
import {
  formatPublicKey,
  formatSecretKey,
  generateKeyPair,
  keyNameOf,
  parsePublicKey,
  parseSecretKey,
  signMessage,
  verifyMessage,
} from './signature.ts';

// Made by nix-store --generate-binary-cache-key for this test, and used nowhere else.
const secretText = 'k-1:mZuOfOso3Ntqvgg+clnRNHLeEek3HAurJhHDYZHUmLvezIsgJPaSE3PxQA5MALT7r6YOIaEhIrS4wbji4xiAYQ==';
const publicText = 'k-1:3syLICT2khNz8UAOTAC0+6+mDiGhISK0uMG44uMYgGE=';
const facts = {
  storePath: '/nix/store/3qnarb2zwbqz9pmshk5yj6azcffvshmh-t',
  narHash: 'sha256-nyr2nQECXkwwu0SoFHlZyA3RXsxDDi2W+wIbWirXcTQ=',
  narSize: 680,
  references: [],
};
const nixSignature = 'k-1:nea3Lo2vQLtehvo54Xb7eWHPaMLpF/Mj2Hmf+fVIbh1TpRmN+LGc7JMqf+tEBeFlYfHhQuQMZJWBw/Zy3JO6Bw==';

const invalid = (error: unknown): boolean => error instanceof FleetError && error.code === 'invalid_input';

test('keys and signatures are those of nix', () => {
  const secret = parseSecretKey(secretText);
  assert.equal(formatSecretKey(secret), secretText);
  assert.equal(formatPublicKey(secret.publicKey), publicText);
  assert.equal(formatPublicKey(parsePublicKey(`${publicText}\n`)), publicText);
  assert.equal(signPath(secret, facts), nixSignature);
  assert.ok(verifyNarInfo({ ...facts, signatures: ['other:AAAA', nixSignature] }, [parsePublicKey(publicText)]));
  assert.equal(keyNameOf(nixSignature), 'k-1');
  assert.equal(keyNameOf('nothing'), '');
});

test('the fingerprint ends in a semicolon without references and joins sorted ones with commas', () => {
  assert.equal(
    pathFingerprint(facts),
    '1;/nix/store/3qnarb2zwbqz9pmshk5yj6azcffvshmh-t;sha256:0d3iswm5l6q2zfb2s3j3rigd23f8b5wi9a24pcq4qph206fzcalz;680;',
  );
  assert.ok(
    pathFingerprint({ ...facts, references: ['/nix/store/b', '/nix/store/a'] }).endsWith(';/nix/store/a,/nix/store/b'),
  );
});

test('another message, another key, another name or a damaged signature do not verify', () => {
  const key = generateKeyPair('a-1');
  const signature = signMessage(key, 'hello');
  assert.ok(verifyMessage([generateKeyPair('b'), key.publicKey], Buffer.from('hello'), signature));
  assert.equal(verifyMessage([key.publicKey], 'hullo', signature), false);
  assert.equal(verifyMessage([generateKeyPair('a-1').publicKey], 'hello', signature), false);
  assert.equal(verifyMessage([key.publicKey], 'hello', signature.replace('a-1', 'a-2')), false);
  assert.equal(verifyMessage([], 'hello', signature), false);
  for (const text of ['', 'a-1', 'a-1:', 'a-1:AAAA', `${signature} `, signature.slice(0, -2)])
    assert.equal(verifyMessage([key.publicKey], 'hello', text), false, text);
  for (const field of ['storePath', 'narHash', 'narSize', 'references'] as const) {
    const tampered = {
      ...facts,
      [field]: {
        storePath: '/nix/store/x',
        narHash: 'sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73',
        narSize: 681,
        references: ['/nix/store/x'],
      }[field],
    };
    assert.equal(
      verifyNarInfo({ ...tampered, signatures: [nixSignature] }, [parsePublicKey(publicText)]),
      false,
      field,
    );
  }
});

test('malformed keys are refused without showing them', () => {
  const wrong = ['', 'k-1', ':AAAA', 'a b:AAAA', 'k-1:AAAA', secretText.slice(0, -4), publicText, `${secretText}:x`];
  for (const text of wrong)
    assert.throws(
      () => parseSecretKey(text),
      (error) => invalid(error) && !inspect(error).includes('mZuO'),
      text,
    );
  const halves = secretText.replace('zIsg', 'zIsh');
  assert.throws(() => parseSecretKey(halves), /damaged/);
  assert.throws(() => parsePublicKey(secretText), invalid);
  for (const name of ['', 'a:b', 'a b', 'a\n']) assert.throws(() => generateKeyPair(name), invalid);
});

test('a secret key shows nothing of itself in logs', () => {
  const secret = parseSecretKey(secretText);
  assert.ok(!JSON.stringify(secret).includes('mZuO'));
  assert.ok(!inspect(secret, { depth: 9 }).includes('mZuO'));
});

test('nix takes our keys and we verify its signatures, and the other way round', { skip: withoutNix }, async () => {
  await using store = new ScratchStore();
  const file = (name: string): string => join(store.dir, name);
  await store.run('nix-store', '--generate-binary-cache-key', 'theirs-1', file('sec'), file('pub'));
  const theirs = parseSecretKey(await readFile(file('sec'), 'utf8'));
  assert.equal(formatPublicKey(theirs.publicKey), await readFile(file('pub'), 'utf8'));
  const ours = generateKeyPair('ours-1');
  await writeFile(file('ours'), formatSecretKey(ours));
  await writeFile(file('content'), 'x');
  const path = await store.line('nix-store', '--add', file('content'));
  await store.run('nix', 'store', 'sign', '-k', file('sec'), path);
  await store.run('nix', 'store', 'sign', '-k', file('ours'), path);
  const [info] = JSON.parse(await store.line('nix', 'path-info', '--json', path)) as {
    narHash: string;
    narSize: number;
    references: string[];
    signatures: string[];
  }[];
  assert.ok(info !== undefined);
  const described = { ...info, storePath: path };
  assert.deepEqual(info.signatures.toSorted(), [signPath(ours, described), signPath(theirs, described)].sort());
  assert.ok(verifyNarInfo(described, [ours.publicKey]));
  assert.ok(verifyNarInfo(described, [theirs.publicKey]));
});
