import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKeyPair } from '@nixfleet/nix';
import type { ReleaseHost, SignedStatement } from '@nixfleet/schema';
import { releaseId, signRelease, statementsWithProofs } from './release.ts';
import { verifyRelease, verifySignedStatement } from './verify.ts';

const key = generateKeyPair('acme-1');
const hosts: ReleaseHost[] = ['web-01', 'db-01', 'ws-01'].map((host, i) => ({
  host,
  toplevel: `/nix/store/${String(i).repeat(32)}-nixos-system-${host}`,
  closureDigest: String(i).repeat(64),
}));
const content = { fleet: 'acme', hosts };
const terms = { sequence: 7, issuedAt: '2026-11-23T08:00:00Z', expiresAt: '2026-12-23T08:00:00Z' };
const signed = signRelease(content, terms, key);
const issuedMs = Date.parse(terms.issuedAt);
const context = {
  fleet: 'acme',
  host: 'web-01',
  trustedKeys: [key.publicKey],
  nowMs: issuedMs + 1000,
  lastSequence: 6,
};

const statementOf = (host: string): SignedStatement => {
  const statement = statementsWithProofs(content, signed).get(host);
  assert.ok(statement);
  return statement;
};
const reasonOf = (statement: SignedStatement, more: Partial<typeof context> = {}): string => {
  const verdict = verifySignedStatement(statement, { ...context, ...more });
  return verdict.ok ? 'ok' : verdict.reason;
};

test('the statement of a signed release is accepted', () => {
  assert.equal(reasonOf(statementOf('web-01')), 'ok');
});

test('a change of any field of the statement breaks the signature', () => {
  const good = statementOf('web-01');
  const changes = {
    toplevel: hosts[1]?.toplevel ?? '',
    closureDigest: 'f'.repeat(64),
    release: 'e'.repeat(64),
    host: 'db-01',
    fleet: 'other',
    expiresAt: '2099-01-01T00:00:00Z',
    issuedAt: '2026-11-23T07:00:00Z',
    sequence: 8,
  };
  for (const [field, value] of Object.entries(changes)) {
    assert.equal(reasonOf({ ...good, statement: { ...good.statement, [field]: value } }), 'invalid_signature', field);
  }
});

test("another host's statement is refused though it is signed", () => {
  assert.equal(reasonOf(statementOf('db-01')), 'wrong_host');
});

test('another fleet with the same key is refused', () => {
  const other = { fleet: 'other', hosts };
  const statement = statementsWithProofs(other, signRelease(other, terms, key)).get('web-01');
  assert.ok(statement);
  assert.equal(reasonOf(statement), 'wrong_fleet');
});

test('a key that is not trusted is named as such, and one with a borrowed name does not verify', () => {
  const good = statementOf('web-01');
  assert.equal(reasonOf(good, { trustedKeys: [generateKeyPair('acme-2').publicKey] }), 'unknown_key');
  assert.equal(reasonOf(good, { trustedKeys: [generateKeyPair('acme-1').publicKey] }), 'invalid_signature');
});

test('dates are held to a minute of skew', () => {
  const good = statementOf('web-01');
  assert.equal(reasonOf(good, { nowMs: issuedMs - 60_000 }), 'ok');
  assert.equal(reasonOf(good, { nowMs: issuedMs - 60_001 }), 'clock_skew');
  assert.equal(reasonOf(good, { nowMs: Date.parse(terms.expiresAt) + 60_000 }), 'ok');
  assert.equal(reasonOf(good, { nowMs: Date.parse(terms.expiresAt) + 60_001 }), 'expired');
});

test('a sequence below the accepted one is refused, the same one is a redelivery', () => {
  assert.equal(reasonOf(statementOf('web-01'), { lastSequence: 8 }), 'old_sequence');
  assert.equal(reasonOf(statementOf('web-01'), { lastSequence: 7 }), 'ok');
});

test('the same closures are the same release whatever the order and the dates', () => {
  assert.equal(releaseId({ fleet: 'acme', hosts: hosts.toReversed() }), signed.release);
  assert.equal(
    signRelease(content, { ...terms, sequence: 9, issuedAt: '2026-11-24T08:00:00Z' }, key).release,
    signed.release,
  );
});

test('a signature over other content is not stored', () => {
  assert.equal(verifyRelease(content, signed, [key.publicKey]).ok, true);
  const changed = {
    fleet: 'acme',
    hosts: hosts.map((h) => (h.host === 'db-01' ? { ...h, closureDigest: 'f'.repeat(64) } : h)),
  };
  assert.deepEqual(verifyRelease(changed, signed, [key.publicKey]).ok, false);
  assert.throws(() => statementsWithProofs(changed, signed), { code: 'invalid_signature' });
});

test('a release without hosts, with a host twice, or that expires before it is issued is refused', () => {
  assert.throws(() => releaseId({ fleet: 'acme', hosts: [] }), { code: 'invalid_input' });
  assert.throws(() => releaseId({ fleet: 'acme', hosts: [...hosts, ...hosts.slice(0, 1)] }), { code: 'invalid_input' });
  assert.throws(() => signRelease(content, { ...terms, expiresAt: terms.issuedAt }, key), { code: 'invalid_input' });
});
