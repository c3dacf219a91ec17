import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultPolicy } from './plan.ts';
import { completePolicy } from './policy.ts';

test('what the request says beats the channel, which beats the defaults', () => {
  const policy = completePolicy({ soakSeconds: 5, failureThreshold: 2 }, { soakSeconds: 9 });
  assert.deepEqual(policy, { ...defaultPolicy, soakSeconds: 9, failureThreshold: 2 });
});

test('a health time-out that the agents could not meet is refused', () => {
  assert.throws(() => completePolicy({ healthTimeoutSeconds: 60, confirmDeadlineSeconds: 60 }), {
    code: 'invalid_input',
  });
});
