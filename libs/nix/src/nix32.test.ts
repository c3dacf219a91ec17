import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FleetError } from '@nixfleet/schema';
import fc from 'fast-check';
import { decodeNix32, encodeNix32 } from './nix32.ts';

const refused = (text: string) =>
  assert.throws(
    () => decodeNix32(text),
    (error) => error instanceof FleetError && error.code === 'invalid_input',
  );

test('nix32 of known digests is what nix-hash prints', () => {
  // nix-hash --type sha256 --to-base32 of the digest of the empty string
  const empty = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
  assert.equal(encodeNix32(Buffer.from(empty, 'hex')), '0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73');
  assert.equal(encodeNix32(Buffer.from('')), '');
  assert.equal(encodeNix32(Buffer.from([1])), '01');
});

test('every byte string survives the round trip', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      assert.deepEqual(Buffer.from(decodeNix32(encodeNix32(bytes))), Buffer.from(bytes));
    }),
  );
});

test('every text that decodes is the one spelling of its bytes', () => {
  const digit = fc.constantFrom(...'0123456789abcdfghijklmnpqrsvwxyz'.split(''));
  fc.assert(
    fc.property(fc.array(digit, { maxLength: 20 }), (digits) => {
      const text = digits.join('');
      let bytes: Uint8Array;
      try {
        bytes = decodeNix32(text);
      } catch {
        return;
      }
      assert.equal(encodeNix32(bytes), text);
    }),
  );
});

test('foreign characters, impossible lengths and stray bits are refused', () => {
  for (const text of ['e0', 'o0', 't0', 'u0', 'A0', '0ß', '0é', '00\u{1F600}']) refused(text);
  for (const text of ['0', '000', '000000']) refused(text);
  refused('z0');
});
