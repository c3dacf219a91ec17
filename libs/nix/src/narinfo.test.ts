import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FleetError } from '@nixfleet/schema';
import fc from 'fast-check';
import { formatNixHash } from './hash.ts';
import { formatNarInfo, maxNarInfoBytes, type NarInfo, parseNarInfo } from './narinfo.ts';
import { makeTextPath } from './store-path.ts';

const text = `StorePath: /nix/store/ab3li50xq0nl4q5lxdyinb8w8y13my9s-hello-2.12
URL: nar/0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73.nar?hash=ab3li50xq0nl4q5lxdyinb8w8y13my9s
Compression: none
FileHash: sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73
FileSize: 226560
NarHash: sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73
NarSize: 226560
References: 3qnarb2zwbqz9pmshk5yj6azcffvshmh-glibc ab3li50xq0nl4q5lxdyinb8w8y13my9s-hello-2.12
Deriver: zcpp6l42vvfkpsjshrn65x3nsh8ln5fr-hello-2.12.drv
Sig: cache-1:AAAA
Sig: cache-2:BBBB
CA: fixed:r:sha256:0d3iswm5l6q2zfb2s3j3rigd23f8b5wi9a24pcq4qph206fzcalz
`;

test('a full narinfo is read and written unchanged', () => {
  const info = parseNarInfo(text);
  assert.equal(formatNarInfo(info), text);
  assert.equal(info.references[0], '/nix/store/3qnarb2zwbqz9pmshk5yj6azcffvshmh-glibc');
  assert.equal(info.deriver, '/nix/store/zcpp6l42vvfkpsjshrn65x3nsh8ln5fr-hello-2.12.drv');
  assert.deepEqual(info.signatures, ['cache-1:AAAA', 'cache-2:BBBB']);
});

test('what other caches write differently is read: hex and SRI hashes, unknown fields, empty references, no compression', () => {
  const info = parseNarInfo(
    text
      .replace(/^NarHash.*$/m, 'NarHash: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
      .replace(/^FileHash.*$/m, 'FileHash: sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=')
      .replace(/^References.*$/m, 'References: ')
      .replace(/^Compression.*$/m, 'Future: thing')
      .replace(/^Deriver.*$/m, 'Deriver: unknown-deriver')
      .replace(/^CA.*$/m, 'CA: '),
  );
  assert.equal(info.narHash, 'sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73');
  assert.equal(info.fileHash, info.narHash);
  assert.deepEqual(info.references, []);
  assert.equal(info.compression, 'bzip2');
  assert.equal(info.deriver, undefined);
  assert.equal(info.contentAddress, undefined);
});

test('what is wrong is refused with its line', () => {
  const cases: [string | RegExp, string, RegExp][] = [
    [/^NarHash.*$/m, 'NarHash: sha256:xyz', /line 6: .*not a SHA-256/],
    [/^NarSize.*$/m, 'NarSize: 0', /line 7: .*not a size/],
    [/^NarSize.*$/m, 'NarSize: 9007199254740993', /line 7: .*not a size/],
    [/^NarSize.*$/m, 'NarSize: 1e3', /line 7/],
    [/^NarSize.*$/m, 'NarHash: sha256:x', /line 7: NarHash stands twice/],
    [/^StorePath.*$/m, 'StorePath: /tmp/x', /line 1: .*not in \/nix\/store/],
    [/^StorePath.*\n/m, '', /StorePath is missing/],
    [/^NarSize.*\n/m, '', /NarSize is missing/],
    [/^URL.*$/m, 'URL: ', /line 2: URL is empty/],
    [/^References.*$/m, 'References: ../x', /line 8: .*not a store path/],
    [/^Compression.*$/m, 'Compression none', /line 3: expected "Name: value"/],
    [/^Compression.*$/m, 'Compression:none', /line 3: expected/],
    [/\n$/, '', /line 12: the last line does not end/],
  ];
  for (const [what, by, message] of cases) {
    assert.throws(
      () => parseNarInfo(text.replace(what, by)),
      (error) =>
        error instanceof FleetError &&
        error.code === 'invalid_input' &&
        message.test(error.message) &&
        error.diagnostics[0]?.line !== undefined,
      `${what} -> ${by}`,
    );
  }
  assert.throws(
    () => parseNarInfo(`${text}X: ${'x'.repeat(maxNarInfoBytes)}\n`),
    (error) => error instanceof FleetError && error.code === 'too_large',
  );
});

test('every narinfo survives writing and reading', () => {
  const path = fc
    .tuple(fc.stringMatching(/^[a-z0-9.+_-]{1,20}$/), fc.string())
    .map(([name, seed]) => makeTextPath(`x${name}`, seed));
  const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(formatNixHash);
  const size = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
  const arbitrary = fc.record(
    {
      storePath: path,
      url: fc.webPath().map((p) => `nar${p}`),
      compression: fc.constantFrom('none', 'zstd', 'xz'),
      fileHash: hash,
      fileSize: size,
      narHash: hash,
      narSize: size,
      references: fc.uniqueArray(path, { maxLength: 6 }).map((list) => list.sort()),
      deriver: path.map((p) => `${p}.drv`),
      signatures: fc.array(
        fc.base64String().map((s) => `key-1:${s}`),
        { maxLength: 3 },
      ),
      contentAddress: hash.map((h) => `fixed:r:${h}`),
    },
    { requiredKeys: ['storePath', 'url', 'compression', 'narHash', 'narSize', 'references', 'signatures'] },
  );
  fc.assert(
    fc.property(arbitrary, (info: NarInfo) => {
      assert.deepEqual(parseNarInfo(formatNarInfo(info)), { ...info });
    }),
  );
});
