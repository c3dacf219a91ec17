import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { parseSecretKey } from '@nixfleet/nix';
import { CreateOperator, serviceNames } from '@nixfleet/schema';
import { Type } from 'typebox';
import { Value } from 'typebox/value';

const execute = promisify(execFile);
const root = join(import.meta.dirname, '../../..');

let dir: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nixfleet-deployment-'));
});
after(() => rm(dir, { recursive: true, force: true }));

interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The real command line; a failure is an answer. */
async function nixfleet(...args: readonly string[]): Promise<Answer> {
  try {
    const options = { cwd: dir, env: { ...process.env, NIXFLEET_CONFIG: '' } };
    return { code: 0, ...(await execute(process.execPath, [join(root, 'apps/cli/src/main.ts'), ...args], options)) };
  } catch (error) {
    return error as Answer;
  }
}

const init = (target: string): Promise<Answer> => nixfleet('deployment', 'init', target, '--fleet-name', 'acme');
const filesBelow = (path: string): string[] =>
  globSync('**', { cwd: path, dot: true } as object)
    .filter((file) => statSync(join(path, file)).isFile())
    .toSorted();
const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

test('deployment init makes everything that docker-compose.yml mounts', async () => {
  assert.equal((await init('all')).code, 0);
  const compose = readFileSync(join(root, 'docker-compose.yml'), 'utf8');
  const mounted = [...compose.matchAll(/\{NIXFLEET_DEPLOYMENT_DIR:-\.\/compose\}\/([^"\s:]+)/g)]
    .flatMap((match) => match[1] ?? [])
    .filter((path) => !path.startsWith('agents/'));
  assert.ok(mounted.length > 15, `only ${mounted.length} files found in docker-compose.yml`);
  assert.deepEqual(
    mounted.filter((path) => !existsSync(join(dir, 'all', path))),
    [],
  );
  for (const path of ['release.key', 'nats-identity.json', 'operator.token', 'cli.json'])
    assert.ok(!mounted.includes(path), `${path} is the operator's own, and docker-compose.yml mounts it`);
});

test('only the owner reads what deployment init made', async () => {
  assert.equal((await init('modes')).code, 0);
  const target = join(dir, 'modes');
  assert.equal(modeOf(target), '700');
  const open = ['harmonia/harmonia.toml', 'prometheus/prometheus.yml'];
  for (const file of filesBelow(target))
    assert.equal(modeOf(join(target, file)), open.includes(file) ? '644' : '600', file);
});

test('no two secrets of two deployments are alike', async () => {
  assert.equal((await init('one')).code, 0);
  assert.equal((await init('other')).code, 0);
  const secrets = ['release.key', 'operator.token', 'services/cache.key', 'postgres/init.sql', 'nats-identity.json'];
  for (const file of [...secrets, ...serviceNames.map((service) => `services/${service}.creds`)])
    assert.notEqual(readFileSync(join(dir, 'one', file), 'utf8'), readFileSync(join(dir, 'other', file), 'utf8'), file);
});

test('the files of a deployment fit together', async () => {
  assert.equal((await init('fit')).code, 0);
  const read = (file: string): string => readFileSync(join(dir, 'fit', file), 'utf8');
  const releaseKey = parseSecretKey(read('release.key').trim());
  assert.equal(releaseKey.publicKey.name, 'acme-1');
  assert.ok(Value.Check(Type.Array(CreateOperator), JSON.parse(read('services/operators.json'))));
  const sql = read('postgres/init.sql');
  for (const service of serviceNames) {
    const password = new URL(read(`services/${service}.postgres-url`).trim()).password;
    assert.ok(password.length >= 40, 'a password is long');
    assert.ok(sql.includes(`CREATE ROLE ${service} LOGIN PASSWORD '${password}'`), service);
  }
  assert.ok(!/PASSWORD|SEED/.test(read('nats/nats-server.conf')), 'the configuration of NATS holds nothing secret');
});

test('deployment init overwrites nothing', async () => {
  assert.equal((await init('twice')).code, 0);
  const key = readFileSync(join(dir, 'twice/release.key'), 'utf8');
  const again = await init('twice');
  assert.equal(again.code, 5);
  assert.match(again.stderr, /twice holds something already/);
  assert.equal(readFileSync(join(dir, 'twice/release.key'), 'utf8'), key);
  assert.deepEqual(globSync('twice.*', { cwd: dir }), [], 'nothing is left of the attempt');
  await mkdir(join(dir, 'empty'));
  assert.equal((await init('empty')).code, 0, 'an empty directory is free');
});

test('a fleet name that can be no name is refused before anything is made', async () => {
  const answer = await nixfleet('deployment', 'init', 'odd', '--fleet-name', 'Acme; DROP');
  assert.equal(answer.code, 2);
  assert.match(answer.stderr, /--fleet-name takes a-z, 0-9 and dashes/);
  assert.ok(!existsSync(join(dir, 'odd')));
});

test('agents get credentials of their own subjects, once', async () => {
  assert.equal((await init('agents')).code, 0);
  const issue = (...agents: string[]): Promise<Answer> =>
    nixfleet('--json', 'deployment', 'agent-creds', '--dir', 'agents', ...agents);
  const first = JSON.parse((await issue('web-01@paris')).stdout) as { agents: { isNew: boolean }[] };
  assert.deepEqual(
    first.agents.map((agent) => agent.isNew),
    [true],
  );
  const file = join(dir, 'agents/agents/web-01@paris.creds');
  assert.equal(modeOf(file), '600');
  const creds = readFileSync(file, 'utf8');
  const claims = JSON.parse(Buffer.from(creds.split('\n')[1]?.split('.')[1] ?? '', 'base64url').toString()) as {
    nats: { pub: { allow: string[] } };
  };
  assert.ok(claims.nats.pub.allow.every((subject) => subject.includes('paris.web-01')));
  const second = JSON.parse((await issue('web-01@paris', 'web-02@lyon')).stdout) as typeof first;
  assert.deepEqual(
    second.agents.map((agent) => agent.isNew),
    [false, true],
  );
  assert.equal(readFileSync(file, 'utf8'), creds);
  assert.equal((await issue('web-01')).code, 2);
  assert.equal((await nixfleet('deployment', 'agent-creds', '--dir', 'nowhere', 'a@b')).code, 5);
});

test('the Dockerfile copies the manifest of every package', () => {
  const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8');
  const manifests = [...globSync('{apps,libs,services}/*/package.json', { cwd: root }), 'test/package.json'];
  assert.ok(manifests.length > 10);
  assert.deepEqual(
    manifests.filter((file) => !dockerfile.includes(`COPY ${file} `)),
    [],
  );
});

/** Version 1 and the plugin of version 2 read the same file. */
async function findCompose(): Promise<readonly string[] | undefined> {
  for (const command of [['docker', 'compose'], ['docker-compose']]) {
    const [file = '', ...args] = command;
    const found = await execute(file, [...args, 'version']).then(
      () => true,
      () => false,
    );
    if (found) return command;
  }
  return undefined;
}
const compose = await findCompose();
const withoutCompose =
  compose === undefined ? 'no compose is installed (Debian: apt-get install docker-compose)' : false;

test('compose accepts docker-compose.yml; ports are on the loopback address only', {
  skip: withoutCompose,
}, async () => {
  assert.equal((await init('compose')).code, 0);
  const [file = '', ...args] = compose ?? [];
  const { stdout } = await execute(file, [...args, '--env-file', join(dir, 'compose/.env'), 'config'], { cwd: root });
  for (const service of ['nats', 'postgres', 'config-resolver', 'deployer', 'cache-indexer', 'telemetry', 'prometheus'])
    assert.match(stdout, new RegExp(`^  ${service}:$`, 'm'));
  assert.ok(stdout.includes(join(dir, 'compose/services/deployer.creds')), 'the secrets are those of this deployment');
  const source = readFileSync(join(root, 'docker-compose.yml'), 'utf8');
  const ports = [...source.matchAll(/^ {4}ports: \[(.*)\]$/gm)].flatMap((match) => (match[1] ?? '').split(','));
  assert.ok(ports.length >= 8);
  for (const port of ports) assert.match(port, /^\s*"127\.0\.0\.1:\d+:\d+"$/);
});
