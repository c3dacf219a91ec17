import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyPing, type JobState, type Ping } from './pings.ts';

const job: JobState = { state: 'new', timeoutSeconds: 100, graceSeconds: 20, nextDeadlineMs: 0 };
const ping = (kind: Ping['kind'], atMs: number, more: Partial<Ping> = {}): Ping => ({ kind, atMs, ...more });

test('a success brings the job up and moves its deadline by time-out and grace', () => {
  const { job: after, run, event } = applyPing(job, [], ping('success', 5000), 'r1');
  assert.equal(after.state, 'up');
  assert.equal(after.nextDeadlineMs, 125_000);
  assert.deepEqual(run, { run: 'r1', finishedMs: 5000, outcome: 'succeeded' });
  assert.equal(event, 'succeeded');
});

test('a start opens a run and changes no state; the success that names it gives its duration', () => {
  const started = applyPing(job, [], ping('start', 1000, { rid: 'a' }), 'x');
  assert.equal(started.job.state, 'new');
  assert.deepEqual(started.run, { run: 'a', startedMs: 1000, outcome: 'running' });
  const ended = applyPing(
    started.job,
    [{ run: 'a', startedMs: 1000 }],
    ping('success', 9000, { rid: 'a', exitStatus: 0 }),
    'y',
  );
  assert.deepEqual(ended.run, { run: 'a', startedMs: 1000, finishedMs: 9000, outcome: 'succeeded', exitStatus: 0 });
});

test('a finish without a run id ends the newest run under way', () => {
  const open = [
    { run: 'old', startedMs: 1000 },
    { run: 'new', startedMs: 2000 },
  ];
  assert.equal(applyPing(job, open, ping('success', 3000), 'x').run?.run, 'new');
});

test('a failure is failing at once and does not move the deadline', () => {
  const { job: after, event } = applyPing(
    { ...job, nextDeadlineMs: 77 },
    [],
    ping('fail', 5000, { exitStatus: 3, body: 'disk full' }),
    'r',
  );
  assert.deepEqual([after.state, after.nextDeadlineMs, event], ['failing', 77, 'failed']);
});

test('a late failure of an older run does not flip a job whose newer run succeeded', () => {
  const up: JobState = { ...job, state: 'up', lastSuccessMs: 9000, lastSuccessStartMs: 5000 };
  const {
    job: after,
    run,
    event,
  } = applyPing(up, [{ run: 'old', startedMs: 1000 }], ping('fail', 10_000, { rid: 'old' }), 'x');
  assert.deepEqual([after.state, run?.outcome, event], ['up', 'failed', undefined]);
});

test('the same ping again within two seconds and without a run id counts once', () => {
  const first = applyPing(job, [], ping('success', 1000), 'a');
  assert.deepEqual(applyPing(first.job, [], ping('success', 2500), 'b'), { job: first.job });
  assert.equal(applyPing(first.job, [], ping('success', 3000), 'c').event, 'succeeded');
});

test('a log ping changes nothing', () => {
  assert.deepEqual(applyPing(job, [], ping('log', 1), 'x'), { job });
});
