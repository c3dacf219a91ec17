import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deadlineOf } from './deadlines.ts';

test('what a job declares wins over its schedule', () => {
  assert.deepEqual(
    deadlineOf({ schedule: 'daily', randomizedDelaySeconds: 3600, timeoutSeconds: 8, graceSeconds: 4 }),
    { timeoutSeconds: 8, graceSeconds: 4 },
  );
});

test('a shorthand gives its period, the random delay and an hour of grace', () => {
  assert.deepEqual(deadlineOf({ schedule: 'weekly', randomizedDelaySeconds: 3600 }), {
    timeoutSeconds: 7 * 86_400 + 3600,
    graceSeconds: 3600,
  });
});

test('other expressions count as daily', () => {
  assert.equal(deadlineOf({ schedule: '*-*-* 03:00:00', randomizedDelaySeconds: 0 }).timeoutSeconds, 86_400);
});
