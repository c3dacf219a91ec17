import assert from 'node:assert/strict';
import { appendFile, cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { nixfleet, scratchDir } from './nixfleet-process.ts';

const acme = join(import.meta.dirname, '../../examples/acme');

/** Runs `validate` on acme with one mistake; every mistake must end with exit code 2. */
async function validateWith(file: string, edit: (text: string) => string): Promise<string> {
  await using dir = await scratchDir();
  const fleet = join(dir.path, 'fleet');
  await cp(acme, fleet, { recursive: true });
  const path = join(fleet, file);
  await writeFile(path, edit(await readFile(path, 'utf8')));
  const { code, stdout, stderr } = await nixfleet(['validate', fleet]);
  assert.equal(code, 2, stderr);
  assert.equal(stdout, '');
  return stderr;
}

test('the example fleet is valid', async () => {
  const { code, stdout } = await nixfleet(['validate', acme]);
  assert.deepEqual([code, stdout], [0, 'acme: 14 hosts at 3 sites, 2 channels: valid\n']);
});

test('an unknown option is told with file, line, option and what was meant', async () => {
  const told = await validateWith(
    'hosts/ci-01.yaml',
    (text) => `${text}settings:\n  nixfleet:\n    firewal:\n      enable: true\n`,
  );
  assert.match(told, /^hosts\/ci-01\.yaml:9:5: error: nixfleet\.firewal: unknown option .*found nixfleet\.firewal/);
  assert.match(told, /Did you mean nixfleet\.firewall\?/);
});

test('a wrong type is told with file, line, option, expected and found', async () => {
  const told = await validateWith(
    'hosts/ci-01.yaml',
    (text) => `${text}settings:\n  nixfleet:\n    firewall:\n      enable: "yes"\n`,
  );
  assert.match(
    told,
    /^hosts\/ci-01\.yaml:10:7: error: nixfleet\.firewall\.enable: wrong type \(expected boolean, found "yes"\)/,
  );
});

test('a conflict between two files names both', async () => {
  const told = await validateWith('fleet.yaml', (text) =>
    text.replace(
      'groups:\n',
      'groups:\n  twice:\n    select: { tags: [db] }\n    settings: { nixfleet: { backup: { schedule: weekly } } }\n',
    ),
  );
  assert.match(
    told,
    /error: nixfleet\.backup\.schedule: conflicting definitions: .*fleet\.yaml:\d+ \(group databases\).*fleet\.yaml:\d+ \(group twice\)|fleet\.yaml:\d+ \(group twice\).*\(group databases\)/,
  );
});

test('an unknown role, an unknown site and a YAML error are told with their place', async () => {
  assert.match(
    await validateWith('hosts/ci-01.yaml', (text) => text.replace('role: server', 'role: serwer')),
    /^hosts\/ci-01\.yaml:4:1: error: role: unknown role serwer \(expected one of server, workstation, endpoint, microvm-guest, found serwer\)/,
  );
  assert.match(
    await validateWith('hosts/ci-01.yaml', (text) => text.replace('site: lyon', 'site: lyonn')),
    /^hosts\/ci-01\.yaml:2:1: error: site: unknown site lyonn \(expected one of paris, lyon, berlin, found lyonn\)/,
  );
  assert.match(
    await validateWith('hosts/ci-01.yaml', (text) => `${text}tags: [`),
    /^hosts\/ci-01\.yaml:\d+:\d+: error: /,
  );
});

test('a submission that cannot work says why before anything is sent', async () => {
  await using dir = await scratchDir();
  const env = { NIXFLEET_CONFIG: '', NIXFLEET_DEPLOYER_URL: 'http://127.0.0.1:9', NIXFLEET_TOKEN: 'x' };
  const unreachable = await nixfleet(['hosts'], { ...env, NIXFLEET_TELEMETRY_URL: 'http://127.0.0.1:9' });
  assert.equal(unreachable.code, 3);
  assert.match(unreachable.stderr, /is not reachable/);
  const noFleet = await nixfleet(['validate', dir.path]);
  assert.equal(noFleet.code, 5);
  assert.match(noFleet.stderr, /it has no fleet\.yaml \(nixfleet init makes one\)/);
  const wrongFlag = await nixfleet(['validate', '--frobnicate']);
  assert.equal(wrongFlag.code, 2);
});

test('a fleet of init validates, and init overwrites nothing', async () => {
  await using dir = await scratchDir();
  const fleet = join(dir.path, 'my-fleet');
  assert.equal((await nixfleet(['init', fleet])).code, 0);
  const { code, stdout } = await nixfleet(['validate', fleet]);
  assert.deepEqual([code, stdout], [0, 'my-fleet: 1 host at 1 site, 1 channel: valid\n']);
  await appendFile(join(fleet, 'fleet.yaml'), '# mine\n');
  assert.equal((await nixfleet(['init', fleet])).code, 5);
  assert.match(await readFile(join(fleet, 'fleet.yaml'), 'utf8'), /# mine\n$/);
});
