import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RolloutPolicy } from '@nixfleet/schema';
import fc from 'fast-check';
import { defaultPolicy, type PlanHost, planWaves, shareOf } from './plan.ts';

const hosts: PlanHost[] = Array.from({ length: 10 }, (_, i) => ({
  host: `h${i}`,
  site: i % 2 === 0 ? 'paris' : 'oslo',
  role: i < 3 ? 'server' : 'workstation',
  tags: i === 7 ? ['canary', 'web'] : ['web'],
}));
const withWaves = (waves: RolloutPolicy['waves']): RolloutPolicy => ({ ...defaultPolicy, waves });
const waveOf = (policy: RolloutPolicy, wave: number): string[] =>
  planWaves(policy, hosts)
    .filter((t) => t.wave === wave)
    .map((t) => t.host);

test('a canary wave by tag comes first, the rest follows', () => {
  const policy = withWaves([{ select: { tags: ['canary'] } }, {}]);
  assert.deepEqual(waveOf(policy, 0), ['h7']);
  assert.equal(waveOf(policy, 1).length, 9);
});

test('percentages are of the whole rollout and round up', () => {
  assert.equal(shareOf('25%', 10), 3);
  assert.equal(shareOf('1%', 10), 1);
  assert.deepEqual(
    [0, 1, 2].map((wave) => waveOf(withWaves([{ size: 1 }, { size: '25%' }, { size: '100%' }]), wave).length),
    [1, 3, 6],
  );
});

test('hosts that no wave takes form a last wave, and empty waves close up', () => {
  const policy = withWaves([{ select: { tags: ['nobody'] } }, { select: { roles: ['server'] } }]);
  assert.deepEqual(waveOf(policy, 0), ['h0', 'h1', 'h2']);
  assert.equal(waveOf(policy, 1).length, 7);
});

test('a rollout without hosts is refused', () => {
  assert.throws(() => planWaves(defaultPolicy, []), { code: 'invalid_input' });
});

test('whatever the waves, every host is in exactly one and no wave is empty', () => {
  const wave = fc.record({
    size: fc.oneof(
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 0, max: 100 }).map((n) => `${n}%`),
    ),
  });
  fc.assert(
    fc.property(fc.array(wave, { minLength: 1, maxLength: 6 }), (waves) => {
      const targets = planWaves(withWaves(waves), hosts);
      assert.deepEqual(targets.map((t) => t.host).toSorted(), hosts.map((h) => h.host).toSorted());
      const numbers = [...new Set(targets.map((t) => t.wave))];
      assert.deepEqual(
        numbers,
        numbers.map((_, i) => i),
      );
    }),
  );
});
