import assert from 'node:assert/strict';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { groupByChannel } from '../src/up/deliver.ts';
import { addGroup } from '../src/up/fleet-edits.ts';
import { chooseFreePorts, claimFixedPorts } from '../src/up/ports.ts';
import { makeEnvironment } from '../src/up/processes.ts';
import { lockState, readOrCreate, StateDir } from '../src/up/state-dir.ts';
import { restartDelayMs } from '../src/up/supervisor.ts';

let dir: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nixfleet up '));
});
after(() => rm(dir, { recursive: true, force: true }));

test('the documented ports are taken when they are free', async () => {
  assert.deepEqual(await claimFixedPorts(async () => true), {
    resolver: 7401,
    deployer: 7402,
    cache: 7403,
    telemetry: 7404,
    nats: 7405,
    postgres: 7406,
    grpc: 7407,
  });
});

test('taken ports are named with the program that wanted them', async () => {
  const isFree = async (port: number): Promise<boolean> => port !== 7403 && port !== 7406;
  await assert.rejects(claimFixedPorts(isFree), (error: Error) => {
    assert.match(error.message, /7403 \(for cache-indexer\), 7406 \(for Postgres\)/);
    assert.match(error.message, /--ports auto/);
    return true;
  });
});

test('free ports are seven in a row, and a row with a taken one is passed over', async () => {
  const rows = [0.1, 0.2];
  const ports = await chooseFreePorts(
    async (port) => port !== 21_004,
    () => rows.shift() ?? 0,
    undefined,
  );
  assert.deepEqual(Object.values(ports), [22_001, 22_002, 22_003, 22_004, 22_005, 22_006, 22_007]);
});

test('the ports of the former start are taken again unless somebody else has one', async () => {
  const former = await chooseFreePorts(
    async () => true,
    () => 0.5,
    undefined,
  );
  const again = (isFree: (port: number) => boolean) =>
    chooseFreePorts(
      async (port) => isFree(port),
      () => 0.1,
      former,
    );
  assert.deepEqual(await again(() => true), former);
  assert.notDeepEqual(await again((port) => port !== former.nats), former);
});

test('a machine without free ports is said to have none', async () => {
  await assert.rejects(
    chooseFreePorts(async () => false, Math.random, undefined),
    /no free ports in a row/,
  );
});

test('restarts wait longer each time and end after the sixth end in two minutes', () => {
  const endsMs = [1000, 2000, 3000, 4000, 5000];
  assert.deepEqual(
    endsMs.map((_, i) => restartDelayMs(endsMs.slice(0, i + 1), 6000)),
    [500, 1000, 2000, 4000, 8000],
  );
  assert.equal(restartDelayMs([...endsMs, 6000], 6000), undefined);
  assert.equal(restartDelayMs([...endsMs, 200_000], 200_000), 500);
});

const edit = {
  name: 'release-2',
  description: 'no workers',
  hosts: ['web-01', 'web-02'],
  option: 'acme.web.workers',
  value: '!force 0',
};
const group = `  release-2:
    description: "no workers"
    select: { hosts: [web-01, web-02] }
    settings: { acme: { web: { workers: !force 0 } } }
`;

test('a group is put first among the groups of a fleet', () => {
  const text = 'fleet: acme\ngroups: # by purpose\n  web:\n    select: { tags: [web] }\nhosts: {}\n';
  const expected = `fleet: acme\ngroups: # by purpose\n${group}  web:\n    select: { tags: [web] }\nhosts: {}\n`;
  assert.equal(addGroup(text, edit), expected);
});

test('a fleet without groups gets its first one', () => {
  assert.equal(addGroup('fleet: acme', edit), `fleet: acme\ngroups:\n${group}`);
});

test("settings of the operator's own environment do not reach a service", () => {
  const own = { PATH: '/bin', NIXFLEET_RELEASE_KEY_FILE: '/secret', NIXFLEET_HTTP_PORT: '1' };
  assert.deepEqual(makeEnvironment(own, { NIXFLEET_HTTP_PORT: '7402' }), { PATH: '/bin', NIXFLEET_HTTP_PORT: '7402' });
});

test('a state directory is locked by one process, and a dead one gives it free', async () => {
  const state = await StateDir.open(join(dir, 'state'));
  const lock = await lockState(state);
  await assert.rejects(lockState(state), new RegExp(`process ${process.pid}`));
  await lock[Symbol.asyncDispose]();
  // The id is alive, but it is another process than the one that took the lock.
  await writeFile(state.lockFile, `${process.pid} 1\n`);
  await (await lockState(state))[Symbol.asyncDispose]();
});

test('a secret is made once and readable by its owner only', async () => {
  const file = join(dir, 'secrets', 'token');
  assert.equal(await readOrCreate(file, () => 'first'), 'first');
  assert.equal(await readOrCreate(file, () => 'second'), 'first');
  assert.equal((await stat(file)).mode & 0o777, 0o600);
});

test('hosts are grouped by channel, channels in the order of their names', () => {
  const hosts = [
    { host: 'db-01', site: 'oslo', channel: 'stable' },
    { host: 'web-01', site: 'paris', channel: 'edge' },
    { host: 'db-02', site: 'oslo', channel: 'stable' },
  ];
  assert.deepEqual(groupByChannel(hosts), [
    ['edge', ['web-01']],
    ['stable', ['db-01', 'db-02']],
  ]);
});
