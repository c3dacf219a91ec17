import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { checkMetrics, withoutPromtool } from '@nixfleet/infra/testing';
import { type ReleaseList } from '@nixfleet/schema';
import { type Ended, NixfleetProcess, nixfleet, scratchDir } from './nixfleet-process.ts';

const run = promisify(execFile);
const hasNix = (): boolean => {
  try {
    execFileSync('nix', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** One backend for the whole file; the last test stops and starts it again. */
let dir: Awaited<ReturnType<typeof scratchDir>>;
let up: NixfleetProcess;
const start = async (): Promise<void> => {
  up = new NixfleetProcess(['up', '--ports', 'auto', '--state-dir', dir.path]);
  await up.printed(/The backend is up\./);
};
before(async () => {
  dir = await scratchDir();
  await start();
});
after(async () => {
  await up[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

const config = async (): Promise<Record<string, string>> =>
  JSON.parse(await readFile(join(dir.path, 'cli.json'), 'utf8')) as Record<string, string>;
const ask = async (...args: string[]): Promise<Ended> =>
  nixfleet([...args, '--json'], { NIXFLEET_CONFIG: join(dir.path, 'cli.json') });
const get = async (service: string, path: string): Promise<Response> =>
  fetch(`${(await config())[`${service}Url`] ?? ''}${path}`);

test('every host of the fleet that has a channel runs what the release says', async () => {
  const hosts = JSON.parse((await ask('hosts')).stdout) as { hosts: { host: string; running?: string }[] };
  const running = hosts.hosts.filter((host) => host.running !== undefined);
  assert.equal(running.length, 12);
  const web = join(dir.path, 'hosts/web-01');
  const generation = await readlink(join(web, 'nix/var/nix/profiles/system'));
  const target = await readlink(join(web, 'nix/var/nix/profiles', generation));
  assert.equal(`/nix/store/${target.split('/').at(-1) ?? ''}`, running.find((h) => h.host === 'web-01')?.running);
  assert.equal(await readFile(join(web, 'etc/hostname'), 'utf8'), 'web-01\n');
});

test('a stock Nix client copies a closure with signatures checked, and refuses another key', {
  skip: !hasNix() && 'nix is not installed (Debian: apt-get install nix-bin)',
}, async () => {
  const { cacheUrl = '' } = await config();
  const hosts = JSON.parse((await ask('hosts')).stdout) as { hosts: { host: string; running?: string }[] };
  const toplevel = hosts.hosts.find((host) => host.host === 'db-01')?.running ?? '';
  const publicKey = (await nixfleet(['key', 'public', join(dir.path, 'secrets/cache.key')])).stdout.trim();
  const keyName = publicKey.split(':')[0] ?? '';
  // Nix takes a space in a store's path for the end of it.
  await using store = await scratchDir('nixfleet-e2e-');
  const nix = (program: string, key: string, ...args: string[]): Promise<unknown> =>
    run(
      program,
      [
        ...(program === 'nix' ? ['--extra-experimental-features', 'nix-command'] : []),
        '--option',
        'build-users-group',
        '',
        '--option',
        'sandbox',
        'false',
        '--option',
        'substituters',
        '',
        '--option',
        'require-sigs',
        'true',
        '--option',
        'trusted-public-keys',
        key,
        ...args,
      ],
      { env: { ...process.env, HOME: store.path } },
    );
  const root = join(store.path, 'root');
  const other = `${keyName}:${Buffer.alloc(32, 7).toString('base64')}`;
  await assert.rejects(
    nix('nix', other, 'copy', '--from', cacheUrl, '--to', root, toplevel),
    /lacks a (valid )?signature/,
  );
  await nix('nix', publicKey, 'copy', '--from', cacheUrl, '--to', root, toplevel);
  await nix('nix-store', publicKey, '--store', root, '--verify-path', toplevel);
});

test('every service answers health, readiness, OpenAPI and metrics that promtool accepts', {
  skip: withoutPromtool,
}, async () => {
  for (const service of ['resolver', 'deployer', 'cache', 'telemetry']) {
    assert.equal((await get(service, '/healthz')).status, 200, service);
    assert.equal((await get(service, '/readyz')).status, 200, service);
    const api = (await (await get(service, '/openapi.json')).json()) as { openapi: string };
    assert.match(api.openapi, /^3\./);
    assert.equal(await checkMetrics(await (await get(service, '/metrics')).text()), '', service);
  }
});

test('secrets are for their owner only, and no log holds one', async () => {
  const { stdout } = await run('find', [dir.path, '-maxdepth', '2', '-name', '*token*', '-perm', '/077']);
  assert.equal(stdout, '');
  const { tokenFile = '', keyFile = '' } = await config();
  const secrets = await Promise.all(
    [tokenFile, keyFile].map((file) => readFile(join(dir.path, file), 'utf8').catch(() => readFile(file, 'utf8'))),
  );
  for (const file of await readdir(join(dir.path, 'logs'))) {
    const text = await readFile(join(dir.path, 'logs', file), 'utf8');
    for (const secret of secrets) assert.equal(text.includes(secret.trim()), false, file);
  }
});

test('Ctrl-C stops everything, and a second start resumes: same release, no new rollout', async () => {
  const before = JSON.parse((await ask('release', 'list')).stdout) as ReleaseList;
  const { code, stdout } = await up.stop();
  assert.equal(code, 0);
  assert.match(stdout, /all \d+ processes have stopped/);
  await start();
  const after = JSON.parse((await ask('release', 'list')).stdout) as ReleaseList;
  assert.deepEqual(
    after.releases.map((release) => release.release),
    before.releases.map((release) => release.release),
  );
  const rollouts = JSON.parse((await ask('rollout', 'list')).stdout) as { rollouts: { state: string }[] };
  assert.deepEqual(
    rollouts.rollouts.map((rollout) => rollout.state),
    ['completed', 'completed'],
  );
});
