import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { TestServers, until } from '@nixfleet/infra/testing';
import {
  type DeadLetter,
  type DeadLetterList,
  deadLetterStream,
  deadLetterSubject,
  hostResolved,
  hostUp,
  streamOf,
} from '@nixfleet/schema';
import { sql } from 'kysely';
import { enqueueMessages, publishEvent, publishEvents } from '../src/index.ts';
import {
  type Chassis,
  consumer,
  createChassisDatabase,
  effectsOf,
  resolvedHost,
  settled,
  startReadyChassis,
  unwelcome,
} from './chassis.ts';

let servers: TestServers;
before(async () => {
  servers = await TestServers.start();
});
after(() => servers[Symbol.asyncDispose]());

const traceId = '0'.repeat(32);
const outboxSize = (chassis: Chassis): Promise<number> =>
  chassis.db.read(async (db) => (await sql`SELECT 1 FROM outbox`.execute(db)).rows.length);

/** Hosts whose host-up event is in the stream, among the given ones, once for each message. */
async function announced(hosts: readonly string[]): Promise<string[]> {
  const events = await servers.eventsOf(hostUp);
  return events.map((event) => event.data.host).filter((host) => hosts.includes(host));
}

test('events written while NATS is down are delivered after it returns, in order and once each', async () => {
  await using database = await createChassisDatabase(servers);
  await using chassis = await startReadyChassis(servers, database);
  await servers.killNats();
  await until(() => !chassis.health.ready);
  const hosts = ['down-1', 'down-2', 'down-3'];
  for (const host of hosts)
    await chassis.db.transaction((tx) => publishEvent(tx, hostUp, { host, site: 'paris' }, { traceId }));
  assert.equal(await outboxSize(chassis), 3);
  await servers.reviveNats();
  await until(async () => (await outboxSize(chassis)) === 0);
  assert.deepEqual(await announced(hosts), hosts);
});

test('a message that is sent again under its id is in the stream once', async () => {
  await using database = await createChassisDatabase(servers);
  await using chassis = await startReadyChassis(servers, database);
  const message = { id: randomUUID(), subject: 'nixfleet.telemetry.test.twice', payload: '{}' };
  for (let times = 0; times < 2; times += 1) {
    // As after a relay that died between the stream's answer and its own commit.
    await chassis.db.transaction((tx) => enqueueMessages(tx, [message]));
    await until(async () => (await outboxSize(chassis)) === 0);
  }
  assert.equal((await servers.readStream(streamOf(hostUp), message.subject)).length, 1);
});

test('nothing is sent of a transaction that rolls back', async () => {
  await using database = await createChassisDatabase(servers);
  await using chassis = await startReadyChassis(servers, database);
  const write = (host: string, work: () => void) =>
    chassis.db.transaction(async (tx) => {
      await publishEvent(tx, hostUp, { host, site: 'paris' }, { traceId });
      work();
    });
  await assert.rejects(
    write('undone', () => {
      throw new Error('changed my mind');
    }),
    /changed my mind/,
  );
  await write('done', () => undefined);
  await until(async () => (await announced(['done'])).length === 1);
  assert.deepEqual(await announced(['undone', 'done']), ['done']);
});

test('an event that no consumer could decode is refused where it is written', async () => {
  await using database = await createChassisDatabase(servers);
  await using chassis = await startReadyChassis(servers, database);
  const wrong = { host: 'fine', site: 'paris', lastSeenAt: 'yesterday' };
  await assert.rejects(
    chassis.db.transaction((tx) => publishEvents(tx, hostUp, [wrong], { traceId })),
    /lastSeenAt/,
  );
  assert.equal(await outboxSize(chassis), 0);
});

test('two relays on one outbox send each message once', async () => {
  await using database = await createChassisDatabase(servers);
  await using first = await startReadyChassis(servers, database);
  await using _second = await startReadyChassis(servers, database);
  const hosts = Array.from({ length: 1200 }, (_, i) => `both-${i}`);
  await first.db.transaction((tx) =>
    publishEvents(
      tx,
      hostUp,
      hosts.map((host) => ({ host, site: 'paris' })),
      { traceId },
    ),
  );
  await until(async () => (await outboxSize(first)) === 0);
  assert.deepEqual((await announced(hosts)).sort(), hosts.sort());
});

test('an event that is delivered again is applied once', async () => {
  await using database = await createChassisDatabase(servers);
  await using chassis = await startReadyChassis(servers, database);
  const id = randomUUID();
  await servers.publishEvent(hostResolved, resolvedHost('again'), id);
  await until(async () => (await effectsOf(chassis)).includes(id));
  const repeatedBefore = await settled(chassis, 'repeated');
  // A consumer that is made anew gets the whole stream once more.
  const manager = await jetstreamManager(await servers.connection());
  await manager.consumers.delete(streamOf(hostResolved), consumer);
  await until(async () => (await settled(chassis, 'repeated')) > repeatedBefore);
  assert.equal((await effectsOf(chassis)).filter((effect) => effect === id).length, 1);
});

test('a malformed message is put aside with the reason, and the ones behind it are handled', async () => {
  await using database = await createChassisDatabase(servers);
  await using chassis = await startReadyChassis(servers, database);
  const js = jetstream(await servers.connection());
  const bad = ['no json at all', JSON.stringify({ id: 1 })];
  for (const payload of bad) await js.publish('nixfleet.resolver.host-resolved.v1.acme.bad', payload);
  const id = randomUUID();
  await servers.publishEvent(hostResolved, resolvedHost('behind'), id);
  await until(async () => (await effectsOf(chassis)).includes(id));
  const letters = await servers.readStream(deadLetterStream.name, deadLetterSubject('telemetry', consumer));
  assert.deepEqual(
    letters.map((letter) => letter.string()),
    bad,
  );
  const [first, second] = letters.map((letter) => letter.headers);
  assert.match(first?.get('Nixfleet-Reason') ?? '', /no JSON/);
  assert.match(second?.get('Nixfleet-Reason') ?? '', /not a host-resolved v1: .*traceId/);
  assert.equal(first?.get('Nixfleet-Subject'), 'nixfleet.resolver.host-resolved.v1.acme.bad');
  assert.equal(await settled(chassis, 'dead-letter'), 2);
});

test('a dead letter is handled again on request, once, and stays while it cannot be', async () => {
  await using database = await createChassisDatabase(servers);
  await using chassis = await startReadyChassis(servers, database);
  const headers = await servers.addOperator('admin');
  const ask = async (method: string, path: string): Promise<{ status: number; body: unknown }> => {
    const response = await fetch(`${chassis.url}/v1/dead-letters${path}`, { method, headers });
    return { status: response.status, body: await response.json() };
  };
  const listed = async (): Promise<DeadLetter[]> => {
    const { body } = await ask('GET', '');
    return (body as DeadLetterList).deadLetters.filter(({ subject }) => subject.endsWith('.unwelcome'));
  };
  unwelcome.host = 'unwelcome';
  const id = randomUUID();
  await servers.publishEvent(hostResolved, resolvedHost('unwelcome'), id);
  await until(async () => (await listed()).length === 1);
  const [letter] = await listed();
  assert.equal(letter?.consumer, consumer);
  assert.match(letter.reason, /not welcome/);
  assert.equal((await ask('POST', `/${letter.sequence}/replay`)).status, 422);
  assert.equal((await listed()).length, 1);
  delete unwelcome.host;
  assert.equal((await ask('POST', `/${letter.sequence}/replay`)).status, 200);
  assert.deepEqual(await listed(), []);
  assert.deepEqual(
    (await effectsOf(chassis)).filter((effect) => effect === id),
    [id],
  );
  assert.equal((await ask('POST', `/${letter.sequence}/replay`)).status, 404);
});

test('a consumer goes on with what came while NATS was away', async () => {
  await using database = await createChassisDatabase(servers);
  await using chassis = await startReadyChassis(servers, database);
  await servers.killNats();
  await until(() => !chassis.health.ready);
  await servers.reviveNats();
  const id = randomUUID();
  await servers.publishEvent(hostResolved, resolvedHost('later'), id);
  await until(async () => (await effectsOf(chassis)).includes(id));
});

test('events that can come no more are forgotten from the inbox, the others are kept', async () => {
  await using database = await createChassisDatabase(servers);
  {
    await using chassis = await startReadyChassis(servers, database);
    await chassis.db.read((db) =>
      sql`INSERT INTO inbox (consumer, event_id, handled_at) SELECT ${consumer}, gen_random_uuid(), now() - make_interval(days => days) FROM unnest(ARRAY[1, 30, 32, 400]) AS days`.execute(
        db,
      ),
    );
  }
  await using restarted = await startReadyChassis(servers, database);
  const ages = () =>
    restarted.db.read((db) =>
      sql<{
        days: number;
      }>`SELECT extract(day FROM now() - handled_at)::integer AS days FROM inbox WHERE handled_at < now() - interval '12 hours' ORDER BY days`.execute(
        db,
      ),
    );
  await until(async () => (await ages()).rows.length === 2);
  assert.deepEqual(
    (await ages()).rows.map(({ days }) => days),
    [1, 30],
  );
});
