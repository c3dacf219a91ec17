import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import {
  agentInboxPrefix,
  heartbeatSubject,
  intentDirectGetSubject,
  intentStream,
  intentSubject,
  operatorBucket,
  reportStream,
  reportSubject,
} from '@nixfleet/schema';
import {
  agentPermissions,
  createNatsIdentity,
  findNatsServer,
  issueCredentials,
  Nats,
  type NatsIdentity,
  Postgres,
  servicePermissions,
  withClient,
} from '../src/index.ts';

let dir: string;
let nats: Nats;
let identity: NatsIdentity;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nixfleet-infra-'));
  identity = await createNatsIdentity('acme');
  nats = await Nats.start({
    binary: await findNatsServer(join(dir, 'tools')),
    dir: join(dir, 'nats'),
    identity,
    logFile: join(dir, 'nats.log'),
  });
});
after(async () => {
  await nats[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

const connectAs = async (creds: string, inboxPrefix?: string): Promise<NatsConnection> =>
  connect({
    servers: nats.url,
    authenticator: credsAuthenticator(Buffer.from(creds)),
    reconnect: false,
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
  });

/** True when the server refuses the publication or subscription: it says so on the connection's status. */
async function isRefused(nc: NatsConnection, act: () => void): Promise<boolean> {
  let refused = false;
  const watch = (async () => {
    for await (const status of nc.status())
      if (status.type === 'error' && /permissions violation/i.test(String(status.error))) refused = true;
  })();
  act();
  await nc.flush();
  await new Promise((resolve) => {
    setTimeout(resolve, 30);
  });
  await Promise.race([watch, Promise.resolve()]);
  return refused;
}

test('an agent reaches its own subjects and is refused every other one', async () => {
  const service = await connectAs(await issueCredentials(identity, 'deployer', servicePermissions('deployer')));
  const manager = await jetstreamManager(service);
  await manager.streams.add({
    name: intentStream.name,
    subjects: [...intentStream.subjects],
    allow_direct: true,
    max_msgs_per_subject: 1,
  });
  await manager.streams.add({ name: reportStream.name, subjects: [...reportStream.subjects] });
  await jetstream(service).publish(intentSubject('paris', 'web-01'), 'yours');
  await jetstream(service).publish(intentSubject('paris', 'web-02'), 'not yours');

  const creds = await issueCredentials(identity, 'agent web-01', agentPermissions('paris', 'web-01'));
  const agent = await connectAs(creds, agentInboxPrefix('web-01'));
  const own = await agent.request(intentDirectGetSubject('paris', 'web-01'), '', { timeout: 2000 });
  assert.equal(own.string(), 'yours');
  await jetstream(agent).publish(reportSubject('paris', 'web-01'), 'report');
  assert.equal(await isRefused(agent, () => agent.publish(heartbeatSubject('paris', 'web-01'), 'beat')), false);

  const publications = [
    reportSubject('paris', 'web-02'),
    reportSubject('oslo', 'web-01'),
    heartbeatSubject('paris', 'web-02'),
    intentSubject('paris', 'web-01'),
    intentDirectGetSubject('paris', 'web-02'),
    '$JS.API.STREAM.LIST',
    `$JS.API.STREAM.DELETE.${intentStream.name}`,
    `$JS.API.STREAM.MSG.GET.${intentStream.name}`,
    `$JS.API.CONSUMER.CREATE.${reportStream.name}`,
    `$KV.${operatorBucket}.x`,
    'nixfleet.deployer.rollout-changed.v1.x',
    '_INBOX_agent_web-02.x',
    'anything',
  ];
  for (const subject of publications)
    assert.equal(await isRefused(agent, () => agent.publish(subject, '')), true, `publish ${subject}`);
  const subscriptions = [
    intentSubject('paris', 'web-02'),
    'nixfleet.intent.v1.paris.*',
    'nixfleet.>',
    '>',
    '_INBOX.>',
    `${agentInboxPrefix('web-02')}.>`,
    'nixfleet.agent.heartbeat.>',
    '$SYS.>',
  ];
  for (const subject of subscriptions) {
    assert.equal(
      await isRefused(agent, () => void agent.subscribe(subject, { callback: () => undefined })),
      true,
      `subscribe ${subject}`,
    );
  }
  await agent.close();
  await service.close();
});

test('a service may not write what belongs to another one', async () => {
  const telemetry = await connectAs(await issueCredentials(identity, 'telemetry', servicePermissions('telemetry')));
  for (const subject of [
    'nixfleet.deployer.rollout-changed.v1.x',
    intentSubject('paris', 'web-01'),
    `$KV.${operatorBucket}.x`,
    reportSubject('paris', 'web-01'),
  ]) {
    assert.equal(await isRefused(telemetry, () => telemetry.publish(subject, '')), true, subject);
  }
  await telemetry.close();
});

test('credentials of another operator are refused', async () => {
  const stranger = await createNatsIdentity('stranger');
  await assert.rejects(
    connectAs(await issueCredentials(stranger, 'agent', agentPermissions('paris', 'web-01'))),
    /authorization violation/i,
  );
});

test('Postgres keeps its data over kill -9 and gives each service a role that sees its own schema only', async () => {
  const options = { dataDir: join(dir, 'postgres/data'), logFile: join(dir, 'postgres.log') };
  const services = [
    { role: 'one', password: 'p1', schema: 'one' },
    { role: 'two', password: 'p2', schema: 'two' },
  ];
  const first = await Postgres.start(options);
  await first.provision('nixfleet', services);
  await withClient(first.url('nixfleet', { name: 'one', password: 'p1' }), async (client) => {
    await client.query('CREATE TABLE one.t (n int)');
    await client.query('INSERT INTO one.t VALUES (7)');
  });
  await first.child.kill();
  await using second = await Postgres.start(options);
  await second.provision('nixfleet', services);
  await withClient(second.url('nixfleet', { name: 'one', password: 'p1' }), async (client) => {
    assert.deepEqual((await client.query('SELECT n FROM one.t')).rows, [{ n: 7 }]);
    const { rows } = await client.query(
      "SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit",
    );
    assert.deepEqual(rows, [{ fsync: 'on', commit: 'on' }]);
  });
  await withClient(second.url('nixfleet', { name: 'two', password: 'p2' }), async (client) => {
    await assert.rejects(client.query('SELECT n FROM one.t'), /permission denied/);
    await assert.rejects(client.query('CREATE TABLE public.t (n int)'), /permission denied/);
  });
  await assert.rejects(
    withClient(second.url('nixfleet', { name: 'one', password: 'wrong' }), () => Promise.resolve()),
    /password authentication failed/,
  );
});
