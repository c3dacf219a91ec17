import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultPolicy } from './plan.ts';
import { type RolloutSnapshot, reconcile, type TargetSnapshot, type TargetState } from './reconcile.ts';

const policy = { ...defaultPolicy, healthTimeoutSeconds: 60, soakSeconds: 30 };
const target = (host: string, state: TargetState, more: Partial<TargetSnapshot> = {}): TargetSnapshot => ({
  host,
  state,
  answered: state !== 'queued',
  returnSent: false,
  ...(state === 'queued' ? {} : { dispatchedAtMs: 0 }),
  ...more,
});
const snapshot = (targets: readonly TargetSnapshot[], more: Partial<RolloutSnapshot> = {}): RolloutSnapshot => ({
  state: 'running',
  revertPending: false,
  policy,
  currentWave: 0,
  waveCount: 2,
  acceptedFailures: 0,
  targets,
  ...more,
});

test('queued hosts of the current wave are dispatched together', () => {
  assert.deepEqual(reconcile(snapshot([target('a', 'queued'), target('b', 'queued')]), 0), [
    { kind: 'dispatch', hosts: ['a', 'b'] },
  ]);
});

test('nothing happens while hosts are under way and in time', () => {
  assert.deepEqual(reconcile(snapshot([target('a', 'inFlight'), target('b', 'converged')]), 59_999), []);
});

test('an overdue host that answered has failed, a silent one is unreachable', () => {
  const actions = reconcile(snapshot([target('a', 'inFlight'), target('b', 'inFlight', { answered: false })]), 60_000);
  assert.deepEqual(actions, [
    { kind: 'expire', hosts: ['a'], to: 'failed' },
    { kind: 'expire', hosts: ['b'], to: 'unreachable' },
  ]);
});

test('one failure over the threshold pauses and names host and reason', () => {
  const [action] = reconcile(snapshot([target('a', 'failed', { reason: 'health_failed' }), target('b', 'queued')]), 0);
  assert.deepEqual(action, {
    kind: 'enter',
    state: 'paused',
    reason: '1 of 2 hosts failed in wave 1 of 2: a (health_failed)',
    revert: false,
  });
});

test('onFailure decides between pause, halt and revert', () => {
  const states = (['pause', 'halt', 'revert'] as const).map(
    (onFailure) => reconcile(snapshot([target('a', 'failed')], { policy: { ...policy, onFailure } }), 0)[0],
  );
  assert.deepEqual(
    states.map((a) => (a?.kind === 'enter' ? [a.state, a.revert] : a)),
    [
      ['paused', false],
      ['failed', false],
      ['failed', true],
    ],
  );
});

test('failures within the threshold do not stop the wave', () => {
  const tolerant = { ...policy, failureThreshold: '50%', soakSeconds: 0 };
  const done = snapshot([target('a', 'failed'), target('b', 'converged')], { policy: tolerant });
  assert.deepEqual(reconcile(done, 0), [{ kind: 'advance', wave: 1 }]);
});

test('failures that a person resumed over do not pause again, a new one does', () => {
  const seen = snapshot([target('a', 'failed'), target('b', 'queued')], { acceptedFailures: 1 });
  assert.deepEqual(reconcile(seen, 0), [{ kind: 'dispatch', hosts: ['b'] }]);
  assert.equal(
    reconcile(snapshot([target('a', 'failed'), target('b', 'failed')], { acceptedFailures: 1 }), 0)[0]?.kind,
    'enter',
  );
});

test('a converged wave soaks for its whole time before the next one starts', () => {
  const converged = [target('a', 'converged'), target('b', 'converged')];
  assert.deepEqual(reconcile(snapshot(converged), 1000), [{ kind: 'soak' }]);
  assert.deepEqual(reconcile(snapshot(converged, { soakStartedAtMs: 1000 }), 30_999), []);
  assert.deepEqual(reconcile(snapshot(converged, { soakStartedAtMs: 1000 }), 31_000), [{ kind: 'advance', wave: 1 }]);
});

test('the last wave completes the rollout and says who was not reached', () => {
  const last = snapshot([target('a', 'converged'), target('b', 'unreachable')], { currentWave: 1, soakStartedAtMs: 0 });
  assert.deepEqual(reconcile(last, 30_000), [
    { kind: 'enter', state: 'completed', reason: 'last wave converged; 1 not reached', revert: false },
  ]);
});

test('offline hosts do not block a wave, but a wave where nobody answers pauses', () => {
  assert.deepEqual(reconcile(snapshot([target('a', 'unreachable'), target('b', 'converged')]), 0), [{ kind: 'soak' }]);
  const [action] = reconcile(snapshot([target('a', 'unreachable')]), 0);
  assert.equal(action?.kind === 'enter' && action.state, 'paused');
});

test('a paused, cancelled, failed or completed rollout dispatches nothing', () => {
  for (const state of ['paused', 'cancelled', 'failed', 'completed'] as const) {
    assert.deepEqual(reconcile(snapshot([target('a', 'queued')], { state }), 0), [], state);
  }
});

test('a revert returns converged hosts once and waits for those under way', () => {
  const reverting = { state: 'failed', revertPending: true } as const;
  const first = snapshot(
    [target('a', 'failed'), target('b', 'converged'), target('c', 'inFlight'), target('d', 'queued')],
    reverting,
  );
  assert.deepEqual(reconcile(first, 0), [{ kind: 'return', hosts: ['b'] }]);
  const second = snapshot([target('b', 'converged', { returnSent: true }), target('c', 'converged')], reverting);
  assert.deepEqual(reconcile(second, 0), [{ kind: 'return', hosts: ['c'] }, { kind: 'finish-revert' }]);
});
