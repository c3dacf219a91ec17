import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { credentials, Metadata, status } from '@grpc/grpc-js';
import { jetstream } from '@nats-io/jetstream';
import { checkMetrics, TestServers, until, withoutPromtool } from '@nixfleet/infra/testing';
import { generateKeyPair } from '@nixfleet/nix';
import {
  type AuditList,
  type DeployerHostList,
  deadLetterStream,
  deadLetterSubject,
  hostResolved,
  type ReleaseDetail,
  type RolloutDetail,
  releaseCreated,
  reportSubject,
  rolloutChanged,
} from '@nixfleet/schema';
import { type RolloutProgress, RolloutsClient } from '@nixfleet/schema/grpc';
import { verifySignedStatement } from '@nixfleet/trust';
import { fleet, site, TestDeployer } from './stack.ts';

let servers: TestServers;
let deployer: TestDeployer;
before(async () => {
  servers = await TestServers.start();
  deployer = await TestDeployer.start(servers);
});
after(async () => {
  await deployer[Symbol.asyncDispose]();
  await servers[Symbol.asyncDispose]();
});

const announcedStates = async (rollout: string): Promise<string[]> =>
  (await servers.eventsOf(rolloutChanged)).filter(({ data }) => data.rollout === rollout).map(({ data }) => data.state);
const stateBecomes = (rollout: string, state: string): Promise<void> =>
  until(async () => (await deployer.rollout(rollout)).state === state);

test('a release is refused until every closure is built, and names what is missing', async () => {
  const { revision, hosts } = await deployer.resolve(['built-1', 'built-2']);
  const post = (changed: object = {}) =>
    deployer.ask<ReleaseDetail>('deploy', 'POST', '/v1/releases', { fleet, revision, hosts, ...changed });
  const [first] = hosts;
  assert.ok(first);
  await deployer.build(revision, [first]);
  await until(async () => (await post()).body.error?.message.startsWith('1 of 2 closures') === true);
  const half = await post();
  assert.deepEqual([half.status, half.body.error?.code], [409, 'conflict']);
  assert.match(half.body.error?.message ?? '', /built-2 \(not built yet\)/);
  await deployer.build(revision, hosts);
  await until(async () => (await post()).status === 201);
  const other = await post({ hosts: hosts.map((host) => ({ ...host, closureDigest: 'f'.repeat(64) })) });
  assert.deepEqual([other.status, other.body.error?.code], [409, 'conflict']);
});

test('a release that nobody signed, or the wrong key, is not rolled out', async () => {
  const { revision, channel, hosts } = await deployer.resolve(['signed-1']);
  await deployer.build(revision, hosts);
  let release = '';
  await until(async () => {
    const { status, body } = await deployer.ask<ReleaseDetail>('deploy', 'POST', '/v1/releases', {
      fleet,
      revision,
      hosts,
    });
    release = body.release;
    return status === 201;
  });
  const start = () => deployer.ask<RolloutDetail>('deploy', 'POST', '/v1/rollouts', { release, channel });
  const sign = (signature: object) => deployer.ask('deploy', 'POST', `/v1/releases/${release}/signatures`, signature);
  assert.deepEqual([(await start()).status, (await start()).body.error?.code], [409, 'conflict']);
  const strangers = [
    deployer.sign(hosts, generateKeyPair('acme-release-1')),
    deployer.sign(hosts, generateKeyPair('stranger-1')),
    { ...deployer.sign(hosts), sequence: 999_999 },
    { ...deployer.sign(hosts), merkleRoot: '0'.repeat(64) },
  ];
  for (const signature of strangers) {
    const { status, body } = await sign(signature);
    assert.deepEqual([status, body.error?.code], [422, 'invalid_signature']);
  }
  assert.equal((await start()).status, 409);
  assert.equal((await sign(deployer.sign(hosts))).status, 201);
  await until(async () => (await servers.eventsOf(releaseCreated)).some(({ data }) => data.release === release));
  const started = await start();
  assert.equal(started.status, 201, JSON.stringify(started.body));
  await deployer.ask('deploy', 'POST', `/v1/rollouts/${started.body.rollout}/cancel`);
});

test('a rollout goes through its waves: the canary first, the rest when it has confirmed', async () => {
  const hosts = ['wave-1', 'wave-2', 'wave-3'];
  const rollout = await deployer.start(hosts);
  const canary = await deployer.intentOf(rollout, 'wave-1');
  assert.deepEqual(await deployer.states(rollout), { 'wave-1': 'inFlight', 'wave-2': 'queued', 'wave-3': 'queued' });
  assert.ok(canary.verb === 'be');
  const { statement } = canary.signed;
  assert.deepEqual([statement.host, canary.site, canary.cacheUrls], ['wave-1', site, ['http://127.0.0.1:1']]);
  const verdict = verifySignedStatement(canary.signed, {
    fleet,
    host: 'wave-1',
    trustedKeys: [deployer.key.publicKey],
    nowMs: Date.now(),
    lastSequence: 0,
  });
  assert.equal(verdict.ok, true);
  await deployer.report(canary, 'accepted');
  await deployer.report(canary, 'activating');
  await until(async () => (await deployer.rollout(rollout)).targets[0]?.step === 'activating');
  assert.equal(await deployer.intent('wave-2'), undefined);
  await deployer.report(canary, 'confirmed', { toplevel: statement.toplevel, generation: 7 });
  await Promise.all(['wave-2', 'wave-3'].map((host) => deployer.converge(rollout, host)));
  await stateBecomes(rollout, 'completed');
  assert.deepEqual(await deployer.states(rollout), Object.fromEntries(hosts.map((host) => [host, 'converged'])));
  await until(async () => (await announcedStates(rollout)).join() === 'running,completed');
  const { body } = await deployer.ask<DeployerHostList>('readonly', 'GET', '/v1/hosts?limit=1000');
  const host = body.hosts.find((each) => each.host === 'wave-1');
  const { release } = await deployer.rollout(rollout);
  assert.deepEqual(
    [host?.running, host?.confirmed, host?.confirmedRelease],
    [statement.toplevel, statement.toplevel, release],
  );
});

test('a failed health check of the canary halts the rollout before anybody else is touched', async () => {
  const rollout = await deployer.start(['halt-1', 'halt-2']);
  const canary = await deployer.intentOf(rollout, 'halt-1');
  await deployer.report(canary, 'accepted');
  await deployer.report(canary, 'reverted', { reason: 'health_failed', detail: 'nginx.service is failed' });
  await stateBecomes(rollout, 'failed');
  const { reason, targets } = await deployer.rollout(rollout);
  assert.match(reason ?? '', /1 of 1 hosts failed in wave 1 of 2: halt-1 \(health_failed\)/);
  assert.deepEqual([targets[0]?.detail, targets[1]?.state], ['nginx.service is failed', 'queued']);
  assert.equal(await deployer.intent('halt-2'), undefined);
  await until(async () => (await announcedStates(rollout)).join() === 'running,failed');
  // Its hosts are free for the next one.
  const next = await deployer.start(['halt-1', 'halt-2']);
  await deployer.converge(next, 'halt-1');
  await deployer.converge(next, 'halt-2');
  await stateBecomes(next, 'completed');
});

test('with revert the hosts of the failed wave that had converged are asked back', async () => {
  const hosts = ['revert-1', 'revert-2', 'revert-3'];
  const rollout = await deployer.start(hosts, { waves: [{ size: 2 }, {}], onFailure: 'revert' });
  await deployer.converge(rollout, 'revert-1');
  const failing = await deployer.intentOf(rollout, 'revert-2');
  await deployer.report(failing, 'reverted', { reason: 'health_failed' });
  const be = await deployer.intentOf(rollout, 'revert-1', 'return');
  assert.ok(be.verb === 'return');
  await deployer.report(be, 'reverted', { reason: 'return_requested' });
  await until(async () => {
    const { state, revertPending, targets } = await deployer.rollout(rollout);
    return state === 'failed' && !revertPending && targets[0]?.returned === true;
  });
  assert.equal(await deployer.intent('revert-3'), undefined);
});

test('repeated, reordered, foreign and malformed reports change nothing', async () => {
  const rollout = await deployer.start(['report-1', 'report-2']);
  const intent = await deployer.intentOf(rollout, 'report-1');
  const js = jetstream(await servers.connection());
  await deployer.report(intent, 'verifying', { sequence: 5 });
  await until(async () => (await deployer.rollout(rollout)).targets[0]?.step === 'verifying');
  await deployer.report(intent, 'failed', { sequence: 4, reason: 'internal' });
  await deployer.report(intent, 'failed', { sequence: 5, reason: 'internal' });
  // report-2 speaks of the attempt of report-1 on its own subject, then on its own behalf for report-1.
  await deployer.report({ ...intent, host: 'report-2' }, 'failed', { sequence: 50, reason: 'internal' });
  const forged = { host: 'report-1', site, attempt: intent.attempt, step: 'failed' };
  await js.publish(reportSubject(site, 'report-2'), JSON.stringify(forged));
  await js.publish(reportSubject(site, 'report-2'), 'no json');
  await deployer.report(intent, 'confirmed', { sequence: 60 });
  await deployer.converge(rollout, 'report-2');
  await stateBecomes(rollout, 'completed');
  const letters = await servers.readStream(
    deadLetterStream.name,
    deadLetterSubject('deployer', 'deployer-agent-reports'),
  );
  assert.equal(letters.length, 2);
  for (const letter of letters) assert.match(letter.headers?.get('Nixfleet-Reason') ?? '', /report-2: the report/);
});

test('a paused rollout dispatches nobody until it is resumed, a cancelled one ends', async () => {
  const rollout = await deployer.start(['pause-1', 'pause-2']);
  const act = (verb: string, role: 'deploy' | 'readonly' = 'deploy') =>
    deployer.ask<RolloutDetail>(role, 'POST', `/v1/rollouts/${rollout}/${verb}`);
  const canary = await deployer.intentOf(rollout, 'pause-1');
  assert.equal((await act('pause', 'readonly')).status, 403);
  const paused = await act('pause');
  assert.deepEqual([paused.status, paused.body.state, paused.body.reason], [200, 'paused', 'paused by deploy']);
  assert.deepEqual([(await act('pause')).status, (await act('pause')).body.error?.code], [409, 'conflict']);
  await deployer.report(canary, 'confirmed');
  await until(async () => (await deployer.states(rollout))['pause-1'] === 'converged');
  assert.equal((await deployer.states(rollout))['pause-2'], 'queued');
  assert.equal((await act('resume')).body.state, 'running');
  await deployer.intentOf(rollout, 'pause-2');
  assert.equal((await act('cancel')).body.state, 'cancelled');
  assert.equal((await act('resume')).status, 409);
  await until(async () => (await announcedStates(rollout)).join() === 'running,paused,running,cancelled');
});

test('of two rollouts to the same hosts at once one starts and the other is a conflict', async () => {
  const request = await deployer.release(['owned-1']);
  const start = () => deployer.ask<RolloutDetail>('deploy', 'POST', '/v1/rollouts', request);
  const answers = await Promise.all(Array.from({ length: 6 }, start));
  assert.deepEqual(
    answers.map(({ status }) => status).sort((a, b) => a - b),
    [201, 409, 409, 409, 409, 409],
  );
  for (const { status, body } of answers) if (status === 409) assert.equal(body.error?.code, 'conflict');
});

test('readonly may look and not deploy, nobody may do neither', async () => {
  const request = await deployer.release(['role-1']);
  const { status, body } = await deployer.ask('readonly', 'POST', '/v1/rollouts', request);
  assert.deepEqual([status, body.error?.code], [403, 'forbidden']);
  assert.equal((await deployer.ask('readonly', 'POST', '/v1/releases', {})).status, 403);
  assert.equal((await deployer.ask('deploy', 'POST', '/v1/operators', {})).status, 403);
  assert.equal((await deployer.ask('deploy', 'GET', '/v1/audit')).status, 403);
  assert.equal((await deployer.ask('readonly', 'GET', '/v1/rollouts')).status, 200);
  for (const path of ['/v1/rollouts', '/v1/releases', '/v1/hosts', '/v1/channels', '/v1/audit'])
    assert.equal((await deployer.ask('nobody', 'GET', path)).status, 401, path);
  assert.equal((await deployer.ask('nobody', 'POST', '/v1/rollouts', request)).status, 401);
});

test('the intent of a host that moves to another site is purged where it was', async () => {
  const rollout = await deployer.start(['mover-1']);
  await deployer.intentOf(rollout, 'mover-1');
  const revision = 'f'.repeat(64);
  await deployer.servers.publishEvent(hostResolved, {
    revision,
    fleet,
    host: 'mover-1',
    site: 'lyon',
    platform: 'x86_64-linux',
    tags: [],
    configDigest: revision,
    toplevel: `/nix/store/${'0'.repeat(32)}-nixos-system-mover-1`,
    jobs: [],
  });
  await until(async () => (await deployer.intent('mover-1')) === undefined);
});

test('a rollout is watched over gRPC until it is over, by operators only', async () => {
  const watch = async (id: string, authorization: string): Promise<RolloutProgress[]> => {
    const client = new RolloutsClient(deployer.grpcAddress, credentials.createInsecure());
    const metadata = new Metadata();
    metadata.set('authorization', authorization);
    try {
      const seen: RolloutProgress[] = [];
      for await (const progress of client.Watch({ rollout: id }, metadata)) seen.push(progress as RolloutProgress);
      return seen;
    } finally {
      client.close();
    }
  };
  const { authorization } = deployer.headers('readonly');
  const rollout = await deployer.start(['watched-1', 'watched-2']);
  const watching = watch(rollout, authorization);
  await deployer.converge(rollout, 'watched-1');
  await deployer.converge(rollout, 'watched-2');
  const seen = await watching;
  assert.deepEqual(
    seen.map((progress) => progress.over),
    seen.map((_, i) => i === seen.length - 1),
  );
  assert.equal(seen.at(-1)?.state, 'completed');
  assert.deepEqual(
    seen.at(-1)?.waves.map((wave) => [wave.hosts, wave.converged]),
    [
      [1, 1],
      [1, 1],
    ],
  );
  await assert.rejects(watch(rollout, 'Bearer nobody-knows-this-token'), { code: status.UNAUTHENTICATED });
  await assert.rejects(watch('00000000', authorization), { code: status.NOT_FOUND });
  await assert.rejects(watch('%', authorization), { code: status.INVALID_ARGUMENT });
});

test('each change is in the audit log with its actor, and each entry holds the hash of the one before', async () => {
  const rollout = await deployer.start(['audit-1']);
  await deployer.ask('deploy', 'POST', `/v1/rollouts/${rollout}/cancel`);
  const { body } = await deployer.ask<AuditList>('admin', 'GET', '/v1/audit?limit=1000');
  const own = body.entries.filter((entry) => entry.subject === `rollout ${rollout}`);
  assert.deepEqual(
    own.map(({ actor, action }) => [actor, action]),
    [
      ['deploy', 'rollout-started'],
      ['deploy', 'rollout-cancel'],
    ],
  );
  for (const [i, entry] of body.entries.entries())
    if (i > 0) assert.equal(entry.previousHash, body.entries[i - 1]?.hash);
});

test('promtool is content with the metrics', { skip: withoutPromtool }, async () => {
  const page = await (await fetch(`${deployer.url}/metrics`)).text();
  assert.match(page, /nixfleet_deployer_reports_total\{step="confirmed"\} [1-9]/);
  assert.equal(await checkMetrics(page), '');
});
