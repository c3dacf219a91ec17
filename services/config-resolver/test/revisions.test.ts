import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { checkMetrics, type TestDatabase, TestServers, until, withoutPromtool } from '@nixfleet/infra/testing';
import { type FleetFile, hostResolved, RevisionDetail, revisionResolved } from '@nixfleet/schema';
import { createLogger, Database, Health, Secret } from '@nixfleet/service';
import { Value } from 'typebox/value';
import { readConfig } from '../src/config.ts';
import { migrations, startResolver } from '../src/service.ts';

const fleetYaml = `fleet: test
sites: { paris: {} }
channels: { stable: { rollout: {} } }
defaultChannel: stable
settings: { nixfleet: { operators: { users: { alice: { isAdmin: true } } } } }
`;
const files = (host: string, name = 'web-01'): FleetFile[] => [
  { path: 'fleet.yaml', content: fleetYaml },
  { path: `hosts/${name}.yaml`, content: host },
];
const goodHost = 'site: paris\nplatform: x86_64-linux\nrole: server\n';

let servers: TestServers;
let deploy: { authorization: string };
let readonly: { authorization: string };

before(async () => {
  servers = await TestServers.start();
  deploy = await servers.addOperator('deploy');
  readonly = await servers.addOperator('readonly');
});
after(() => servers[Symbol.asyncDispose]());

const createDatabase = (): Promise<TestDatabase> =>
  servers.createDatabase({
    service: 'resolver',
    migrations,
    migrate: async (url) => {
      const log = createLogger('test', 'fatal');
      const options = { url: new Secret(url), schema: 'resolver', migrations, log, health: new Health() };
      await using db = new Database(options);
      await db.ready;
    },
  });

/** No cache answers at its address: what is resolved stays `building`. */
async function start(): Promise<AsyncDisposable & { url: string }> {
  await using starting = new AsyncDisposableStack();
  const database = starting.use(await createDatabase());
  const env = {
    ...servers.environment('resolver', database),
    NIXFLEET_CACHE_URL: 'http://127.0.0.1:9',
    NIXFLEET_CACHE_TOKEN: 'unused',
  };
  const service = starting.use(await startResolver(readConfig(env)));
  await until(() => service.health.ready);
  await until(async () => (await fetch(`${service.url}/v1/revisions`, { headers: readonly })).status === 200);
  const running = starting.move();
  return { url: service.url, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

const submit = (url: string, body: FleetFile[], headers = deploy): Promise<Response> =>
  fetch(`${url}/v1/revisions`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ files: body }),
  });

test('a fleet is resolved, stored and announced once, however often it is submitted', async () => {
  await using resolver = await start();
  const first = await submit(resolver.url, files(goodHost));
  assert.equal(first.status, 201);
  const detail: unknown = await first.json();
  assert.ok(Value.Check(RevisionDetail, detail));
  assert.equal(detail.state, 'building');
  assert.match(detail.hosts[0]?.toplevel ?? '', /-nixfleet-system-web-01$/);

  const again = await submit(resolver.url, files(goodHost));
  assert.equal(again.status, 200);
  assert.equal(((await again.json()) as RevisionDetail).revision, detail.revision);

  const announced = async () =>
    (await servers.eventsOf(hostResolved)).filter((event) => event.data.revision === detail.revision);
  await until(async () => (await announced()).length > 0);
  const [event, ...more] = await announced();
  assert.equal(more.length, 0);
  assert.equal(event?.data.toplevel, detail.hosts[0]?.toplevel);
  assert.equal(event?.data.channel, 'stable');
  const revisions = (await servers.eventsOf(revisionResolved)).filter((e) => e.data.revision === detail.revision);
  assert.equal(revisions.length, 1);

  const config = await fetch(`${resolver.url}/v1/revisions/${detail.revision}/hosts/web-01/config`, {
    headers: readonly,
  });
  assert.equal(((await config.json()) as { hostSpec: { userName: string } }).hostSpec.userName, 'alice');
});

test('a wrong fleet is refused with file, line, option and expectation, and nothing is stored or announced', async () => {
  await using resolver = await start();
  const eventsBefore = (await servers.eventsOf(revisionResolved)).length;
  const answer = await submit(resolver.url, [
    ...files(`${goodHost}settings:\n  nixfleet:\n    firewall:\n      enable: 3\n`, 'web-02'),
    { path: 'hosts/web-03.yaml', content: `${goodHost}settings:\n  nixfleet:\n    fire: 1\n` },
  ]);
  assert.equal(answer.status, 422);
  const { error } = (await answer.json()) as {
    error: { code: string; diagnostics: { file: string; line: number; optionPath: string; expected: string }[] };
  };
  assert.equal(error.code, 'invalid_fleet');
  assert.deepEqual(
    error.diagnostics.map((d) => [d.file, d.line, d.optionPath, d.expected]),
    [
      ['hosts/web-02.yaml', 7, 'nixfleet.firewall.enable', 'boolean'],
      ['hosts/web-03.yaml', 6, 'nixfleet.fire', 'an option that a scope declares'],
    ],
  );
  const list = await fetch(`${resolver.url}/v1/revisions`, { headers: readonly });
  assert.deepEqual(await list.json(), { revisions: [] });
  assert.equal((await servers.eventsOf(revisionResolved)).length, eventsBefore);
});

test('a closure that cannot be uploaded keeps its revision building and names why', async () => {
  await using resolver = await start();
  const detail = (await (await submit(resolver.url, files(goodHost, 'lost-01'))).json()) as RevisionDetail;
  await until(async () => {
    const answer = await fetch(`${resolver.url}/v1/revisions/${detail.revision}`, { headers: readonly });
    const now = (await answer.json()) as RevisionDetail;
    assert.equal(now.state, 'building');
    return now.failure?.includes('cache-indexer at http://127.0.0.1:9') === true;
  });
});

test('submitting needs the role deploy', async () => {
  await using resolver = await start();
  assert.equal((await submit(resolver.url, files(goodHost), readonly)).status, 403);
  assert.equal((await submit(resolver.url, files(goodHost), { authorization: 'Bearer wrong' })).status, 401);
});

test('promtool accepts the metrics', { skip: withoutPromtool }, async () => {
  await using resolver = await start();
  await submit(resolver.url, files(goodHost));
  const page = await (await fetch(`${resolver.url}/metrics`)).text();
  assert.match(page, /nixfleet_resolver_revisions_total\{outcome="resolved"\} 1/);
  assert.equal(await checkMetrics(page), '');
});

test('the service answers others while it resolves a large fleet', async () => {
  await using resolver = await start();
  const many = Array.from({ length: 400 }, (_, i) => ({ path: `hosts/many-${i}.yaml`, content: goodHost }));
  const done = new AbortController();
  const submitted = submit(resolver.url, [...files(goodHost), ...many]).finally(() => done.abort());
  let answeredMeanwhile = 0;
  while (!done.signal.aborted) {
    const { status } = await fetch(`${resolver.url}/healthz`);
    if (status === 200 && !done.signal.aborted) answeredMeanwhile += 1;
  }
  assert.equal((await submitted).status, 201);
  // A single one could have come before the work began.
  assert.ok(answeredMeanwhile > 5, `${answeredMeanwhile} answers`);
});
