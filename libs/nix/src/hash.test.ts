import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FleetError } from '@nixfleet/schema';
import { formatHexHash, formatNixHash, formatSriHash, normalizeNixHash, parseNixHash, sha256 } from './hash.ts';

const nix32 = 'sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73';
const hex = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const sri = 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=';
const base64 = sri.replace('-', ':');

test('every spelling of a hash is the same digest', () => {
  for (const text of [nix32, hex, sri, base64]) {
    assert.deepEqual(Buffer.from(parseNixHash(text)), sha256(''));
    assert.equal(normalizeNixHash(text), nix32);
  }
  assert.equal(formatNixHash(sha256('')), nix32);
  assert.equal(formatHexHash(sha256('')), hex);
  assert.equal(formatSriHash(sha256('')), sri);
});

test('what is no SHA-256 is refused', () => {
  const wrong = [
    '',
    'sha256:',
    'sha1:abc',
    hex.slice(0, -1),
    `${hex}0`,
    nix32.replace('0m', '2m'),
    nix32.replace('sha256:', 'sha256-'),
    hex.replace('sha256:', 'sha256-'),
    sri.slice(0, -1),
    sri.replace('FU=', 'FV='),
    `${nix32}\n`,
    nix32.replace('sha256:', ''),
  ];
  for (const text of wrong)
    assert.throws(
      () => parseNixHash(text),
      (error) => error instanceof FleetError && error.code === 'invalid_input',
      text,
    );
});
