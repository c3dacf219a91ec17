import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Intent } from '@nixfleet/schema';
import { Value } from 'typebox/value';
import { beIntent, returnIntent, returnWindowSeconds } from './intents.ts';
import { defaultPolicy } from './plan.ts';

const rollout = { fleet: 'acme', rollout: '6f2d7f0e-56a7-4d1c-8b64-0c60f7f5b6a1', traceId: 'ab'.repeat(16) };
const target = { host: 'web-01', site: 'paris', attempt: '0b3d2b0a-3a52-4a8e-9f3a-6f6fb6d1d001', intentSequence: 4 };
const signed = {
  statement: {
    version: 1 as const,
    fleet: 'acme',
    host: 'web-01',
    release: 'a'.repeat(64),
    toplevel: `/nix/store/${'0'.repeat(32)}-nixos-system-web-01`,
    closureDigest: 'b'.repeat(64),
    issuedAt: '2026-11-23T08:00:00Z',
    expiresAt: '2026-12-23T08:00:00Z',
    sequence: 7,
  },
  proof: { leafIndex: 0, treeSize: 1, path: [] },
  signature: `acme-1:${'A'.repeat(86)}==`,
};

test('both verbs are what the contract says', () => {
  assert.ok(Value.Check(Intent, beIntent(rollout, target, signed, defaultPolicy, ['http://127.0.0.1:7403'])));
  assert.ok(Value.Check(Intent, returnIntent(rollout, target, target.attempt)));
});

test('the return window covers the whole wave and its soak, a day at most', () => {
  assert.equal(returnWindowSeconds({ ...defaultPolicy, soakSeconds: 60, healthTimeoutSeconds: 300 }), 360);
  assert.equal(returnWindowSeconds({ ...defaultPolicy, soakSeconds: 600_000 }), 86_400);
});
