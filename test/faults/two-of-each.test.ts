import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readFleetDirectory } from '@nixfleet/fleet';
import { Child, findFreePort } from '@nixfleet/infra';
import { until } from '@nixfleet/infra/testing';
import {
  type Envelope,
  type EventContract,
  eventFilter,
  type FleetFile,
  hostUp,
  type RevisionDetail,
  rolloutChanged,
  type ServiceName,
  serviceNames,
  streamOf,
} from '@nixfleet/schema';
import type { Static, TSchema } from 'typebox';
import { serviceScript, serviceSettings } from '../../apps/cli/src/up/services.ts';
import { FaultBackend } from './fault-backend.ts';
import { writeFaultFleet } from './fault-fleet.ts';
import { checkConverged, checkInvariants, readAll, readGenerations } from './invariants.ts';

const checkout = join(import.meta.dirname, '../..');

let one: FaultBackend;
/** Address of the second instance of each service. */
let two: Record<ServiceName, string>;
let stack: AsyncDisposableStack;
const seconds: Child[] = [];

/** Starts a second instance beside the one that runs, with the same database, NATS user, keys and storage. */
async function startSecond(service: ServiceName): Promise<string> {
  const { secrets, natsUrl, ports } = one.backend;
  const port = await findFreePort();
  const settings = serviceSettings(service, one.state, secrets, natsUrl, ports);
  const child = await Child.start({
    name: `second ${service}`,
    file: process.execPath,
    args: [join(checkout, serviceScript(service))],
    env: { ...process.env, ...settings, NIXFLEET_HTTP_PORT: String(port), NIXFLEET_GRPC_PORT: '0' },
    logFile: one.state.logFile(`second-${service}`),
  });
  stack.use(child);
  seconds.push(child);
  const url = `http://127.0.0.1:${port}`;
  await until(async () => (await fetch(`${url}/readyz`)).status === 200);
  return url;
}

const eventsOf = <Data extends TSchema>(contract: EventContract<Data>): Promise<Envelope<Static<Data>>[]> =>
  readAll(one, streamOf(contract), eventFilter(contract));

/** The fleet with this text in it, as its directory holds it. */
async function fleetFiles(text: string): Promise<FleetFile[]> {
  const dir = join(one.state.path, 'submitted');
  await writeFaultFleet(dir, one.hosts, text);
  return readFleetDirectory(dir);
}

async function post(url: string, body: unknown): Promise<{ status: number; body: unknown }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${one.backend.secrets.operatorToken}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

before(async () => {
  stack = new AsyncDisposableStack();
  one = stack.use(await FaultBackend.start());
  const urls = await Promise.all(serviceNames.map(async (service) => [service, await startSecond(service)] as const));
  two = Object.fromEntries(urls) as Record<ServiceName, string>;
  await until(async () => (await post(`${two.deployer}/v1/rollouts`, {})).status === 422);
});
after(() => stack.disposeAsync());

test('two instances of every service share a release and its rollout, and nothing happens twice', async () => {
  const generations = await readGenerations(one);
  const files = await fleetFiles('two of each');
  const { urls } = one.backend;
  const submitted = await Promise.all(
    [urls.resolver, two.resolver].map((url) => post(`${url}/v1/revisions`, { files })),
  );
  assert.deepEqual(
    submitted.map(({ status }) => status).toSorted((a, b) => a - b),
    [200, 201],
  );
  const [first, second] = submitted.map(({ body }) => (body as RevisionDetail).revision);
  assert.equal(first, second);

  const release = await one.release('two of each');
  const request = { release: release.release, channel: 'all' };
  const started = await Promise.all([urls.deployer, two.deployer].map((url) => post(`${url}/v1/rollouts`, request)));
  assert.deepEqual(
    started.map(({ status }) => status).toSorted((a, b) => a - b),
    [201, 409],
    JSON.stringify(started.map(({ status, body }) => (status === 201 ? status : body))),
  );
  const accepted = started.find(({ status }) => status === 201);
  assert.ok(accepted);
  const { rollout } = accepted.body as { rollout: string };
  const { state, targets } = await one.ended(rollout);
  assert.equal(state, 'completed', JSON.stringify(targets));
  await checkConverged(one, release, generations);
  await checkInvariants(one);
  const changes = (await eventsOf(rolloutChanged)).filter((event) => event.data.rollout === rollout);
  assert.deepEqual(
    changes.map((event) => event.data.state),
    ['running', 'completed'],
  );
});

test('each host is announced as up once, whichever telemetry heard its heartbeats', async () => {
  const hosts = one.hosts.map(({ host }) => host).toSorted();
  await until(async () => (await eventsOf(hostUp)).length >= hosts.length);
  const announced = (await eventsOf(hostUp)).map((event) => event.data.host);
  assert.deepEqual(announced.toSorted(), hosts);
});

test('when the second instance of every service is killed the first goes on alone', async () => {
  const generations = await readGenerations(one);
  for (const child of seconds) await child.kill();
  const release = await one.release('one left');
  const { state } = await one.ended(await one.startRollout(release));
  assert.equal(state, 'completed');
  await checkConverged(one, release, generations);
  await checkInvariants(one);
});
