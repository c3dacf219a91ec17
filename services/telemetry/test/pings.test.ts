import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { checkMetrics, TestServers, until, withoutPromtool } from '@nixfleet/infra/testing';
import { type BackupDetail, backupFailed, backupLate, backupSucceeded, type EventContract } from '@nixfleet/schema';
import { startTestTelemetry, type TestTelemetry } from './stack.ts';

let servers: TestServers;
let telemetry: TestTelemetry;
before(async () => {
  servers = await TestServers.start();
  telemetry = await startTestTelemetry(servers);
});
after(async () => {
  await telemetry[Symbol.asyncDispose]();
  await servers[Symbol.asyncDispose]();
});

/** A host with one job, and what pings it. */
async function declared(host: string): Promise<{
  ping: (path?: string, init?: RequestInit) => Promise<Response>;
  backup: () => Promise<BackupDetail>;
}> {
  await telemetry.declare(host, [{ name: 'files' }]);
  const { pingUrl } = await telemetry.backup(host, 'files');
  return {
    ping: (path = '', init = {}) => fetch(`${pingUrl}${path}`, init),
    backup: () => telemetry.backup(host, 'files'),
  };
}

/** How many events of a kind there are for a host. */
async function announced(contract: EventContract<typeof backupFailed.data>, host: string): Promise<number> {
  return (await servers.eventsOf(contract)).filter((event) => event.data.host === host).length;
}

test('a declared job is new, and the first success makes it up', async () => {
  const { ping, backup } = await declared('first');
  assert.deepEqual([(await backup()).state, (await backup()).runs], ['new', []]);
  const response = await ping();
  assert.deepEqual([response.status, await response.text()], [200, 'OK']);
  assert.equal(response.headers.get('ping-body-limit'), '10000');
  const { state, runs, lastSuccessAt } = await backup();
  assert.deepEqual([state, runs.map((run) => run.outcome)], ['up', ['succeeded']]);
  assert.ok(lastSuccessAt !== undefined);
  await until(async () => (await announced(backupSucceeded, 'first')) === 1);
});

test('a start opens a run and the success with its run id closes it, with the body', async () => {
  const { ping, backup } = await declared('runs');
  const rid = randomUUID();
  assert.equal((await ping(`/start?rid=${rid}`)).status, 200);
  assert.deepEqual([(await backup()).running, (await backup()).state], [true, 'new']);
  assert.equal((await ping(`?rid=${rid}`, { method: 'POST', body: 'snapshot 1234 saved' })).status, 200);
  const { running, runs, state, lastDurationSeconds } = await backup();
  assert.deepEqual([running, state], [false, 'up']);
  assert.deepEqual(
    runs.map(({ run, outcome, body }) => ({ run, outcome, body })),
    [{ run: rid, outcome: 'succeeded', body: 'snapshot 1234 saved' }],
  );
  assert.ok(lastDurationSeconds !== undefined);
});

test('a failure is told with its exit status and the end of its output', async () => {
  const { ping, backup } = await declared('failing');
  await ping('/3', { method: 'POST', body: 'repository is locked' });
  const { state, runs } = await backup();
  assert.equal(state, 'failing');
  assert.deepEqual([runs[0]?.outcome, runs[0]?.exitStatus, runs[0]?.body], ['failed', 3, 'repository is locked']);
  await until(async () => (await announced(backupFailed, 'failing')) === 1);
  const [event] = (await servers.eventsOf(backupFailed)).filter(({ data }) => data.host === 'failing');
  assert.equal(event?.data.detail, 'repository is locked');
  assert.equal((await ping('/0')).status, 200);
  assert.equal((await backup()).state, 'up');
  assert.equal((await ping('/fail')).status, 200);
  assert.equal((await backup()).state, 'failing');
});

test('a log ping is taken and changes no state', async () => {
  const { ping, backup } = await declared('logs');
  assert.equal((await ping('/log', { method: 'POST', body: 'half way' })).status, 200);
  assert.equal((await backup()).state, 'new');
});

test('GET, HEAD and POST of any content type count', async () => {
  const { ping, backup } = await declared('methods');
  assert.equal((await ping(`/start`, { method: 'HEAD' })).status, 200);
  assert.equal((await backup()).running, true);
  const odd = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{ not json' };
  assert.equal((await ping('', odd)).status, 200);
  assert.deepEqual([(await backup()).state, (await backup()).runs[0]?.body], ['up', '{ not json']);
  assert.equal((await ping('', { method: 'DELETE' })).status, 404);
});

test('what is no ping is refused as healthchecks does', async () => {
  const { ping, backup } = await declared('refused');
  const bad: readonly (readonly [string, number])[] = [
    ['?rid=abc', 400],
    ['/start?rid=', 400],
    ['/256', 400],
    ['/999', 400],
    ['/1000', 404],
    ['/nonsense', 404],
    ['/start/more', 404],
  ];
  for (const [path, status] of bad) assert.equal((await ping(path)).status, status, path);
  assert.equal((await fetch(`${telemetry.url}/ping/${randomUUID()}`)).status, 404);
  assert.equal((await fetch(`${telemetry.url}/ping/not-a-key`)).status, 404);
  assert.deepEqual([(await backup()).state, (await backup()).runs], ['new', []]);
});

test('a long output is cut to its beginning, never refused', async () => {
  const { ping, backup } = await declared('long');
  const response = await ping('', { method: 'POST', body: 'x'.repeat(200_000) });
  assert.equal(response.status, 200);
  assert.equal((await backup()).runs[0]?.body?.length, 10_000);
});

test('many pings at once are all stored, whatever the order of their jobs', async () => {
  const jobs = await Promise.all(['many-a', 'many-b', 'many-c'].map(declared));
  const answers = await Promise.all(
    Array.from({ length: 33 }, () => jobs.map(({ ping }) => ping(`/start?rid=${randomUUID()}`))).flat(),
  );
  assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [200]);
  for (const { backup } of jobs) assert.equal((await backup()).running, true);
});

test('a job without a success by its deadline becomes late once, and up again with the next success', async () => {
  await telemetry.declare('late', [{ name: 'files', timeoutSeconds: 1, graceSeconds: 0 }]);
  await until(async () => (await telemetry.backup('late', 'files')).state === 'late');
  // More rounds of the sweeper pass over it; the second job says when.
  await telemetry.declare('later', [{ name: 'files', timeoutSeconds: 1, graceSeconds: 0 }]);
  await until(async () => (await announced(backupLate, 'later')) === 1);
  assert.equal(await announced(backupLate, 'late'), 1);
  // A deadline that is far away: what was late is up until then.
  await telemetry.declare('late', [{ name: 'files', timeoutSeconds: 3600 }]);
  const { pingUrl } = await telemetry.backup('late', 'files');
  await fetch(pingUrl);
  assert.equal((await telemetry.backup('late', 'files')).state, 'up');
});

test('a job that is declared no longer is forgotten, the others keep their key and state', async () => {
  const jobs = ['files', 'database', 'mail'].map((name) => ({ name }));
  await telemetry.declare('redeclared', jobs);
  const before = await telemetry.backup('redeclared', 'database');
  await fetch(before.pingUrl);
  await telemetry.declare('redeclared', [{ name: 'database', schedule: 'weekly' }, { name: 'mail' }]);
  const kept = await telemetry.backup('redeclared', 'database');
  assert.deepEqual([kept.pingUrl, kept.state], [before.pingUrl, 'up']);
  await until(async () => (await telemetry.backup('redeclared', 'database')).schedule === 'weekly');
  const week = 7 * 86_400_000;
  const { lastSuccessAt = '', nextDeadlineAt } = await telemetry.backup('redeclared', 'database');
  assert.equal(Date.parse(nextDeadlineAt) - Date.parse(lastSuccessAt), week + 3_600_000);
});

test('the ping URL is a secret: reading it needs the role deploy', async () => {
  await declared('secret');
  const ask = (headers: Record<string, string>) => fetch(`${telemetry.url}/v1/backups/secret/files`, { headers });
  const readonly = await servers.addOperator('readonly');
  await until(async () => (await fetch(`${telemetry.url}/v1/backups`, { headers: readonly })).status === 200);
  assert.deepEqual([(await ask({})).status, (await ask(readonly)).status], [401, 403]);
  const list = await (await fetch(`${telemetry.url}/v1/backups`, { headers: readonly })).text();
  assert.doesNotMatch(list, /\/ping\//);
});

test('promtool is content with the metrics', { skip: withoutPromtool }, async () => {
  const page = await (await fetch(`${telemetry.url}/metrics`)).text();
  assert.match(page, /nixfleet_telemetry_pings_total\{kind="success"\} [1-9]/);
  assert.equal(await checkMetrics(page), '');
});
