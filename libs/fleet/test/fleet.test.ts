import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { closureDigest } from '@nixfleet/nix';
import { type Diagnostic, FleetError, type FleetFile } from '@nixfleet/schema';
import { buildFleet, explainOption, loadFleetFiles, readFleetDirectory } from '../src/index.ts';

const acmeDir = join(import.meta.dirname, '../../../examples/acme');
const acme = await readFleetDirectory(acmeDir);

/** acme with one file changed; `edit` gets its text. */
const withFile = (path: string, edit: (content: string) => string): FleetFile[] => {
  assert.ok(
    acme.some((file) => file.path === path),
    path,
  );
  return acme.map((file) => (file.path === path ? { path, content: edit(file.content) } : file));
};
const mistakesOf = (files: readonly FleetFile[]): readonly Diagnostic[] => {
  try {
    buildFleet(loadFleetFiles(files));
  } catch (error) {
    assert.ok(error instanceof FleetError && error.code === 'invalid_fleet', String(error));
    return error.diagnostics;
  }
  return [];
};
const placeOf = (d: Diagnostic | undefined): unknown[] => [d?.file, d?.line, d?.optionPath, d?.expected, d?.found];

test('the example fleet builds, and the same files give the same closures', () => {
  const one = buildFleet(loadFleetFiles(acme));
  const two = buildFleet(loadFleetFiles(acme.toReversed()));
  assert.equal(one.hosts.length, 14);
  assert.equal(one.revision, two.revision);
  assert.deepEqual(
    one.hosts.map((host) => [host.toplevel, host.closureDigest]),
    two.hosts.map((host) => [host.toplevel, host.closureDigest]),
  );
  for (const host of one.hosts) assert.equal(closureDigest(host.paths), host.closureDigest);
});

test('every reference of a closure is in the closure', () => {
  for (const host of buildFleet(loadFleetFiles(acme)).hosts) {
    const paths = new Set(host.paths.map((path) => path.storePath));
    for (const path of host.paths) for (const reference of path.references) assert.ok(paths.has(reference), reference);
  }
});

test('files that hosts share are one store path', () => {
  const { hosts } = buildFleet(loadFleetFiles(acme));
  const nixConf = hosts
    .filter((host) => host.platform.endsWith('linux'))
    .map((host) => host.paths.find((path) => path.storePath.endsWith('-etc-nix.conf'))?.storePath);
  assert.equal(new Set(nixConf).size, 1);
});

test('a host wins over its group, a group over the fleet, and explain says so with file and line', () => {
  const explained = explainOption(loadFleetFiles(acme), 'db-02', 'nixfleet.backup.schedule');
  assert.equal(explained.value, 'Sun *-*-* 03:00:00');
  assert.deepEqual(
    explained.definitions.map((d) => [d.winning, d.priority, d.from, d.place.split(':')[0]]),
    [
      [true, 100, 'host db-02', 'hosts/db-02.yaml'],
      [false, 750, 'group databases', 'fleet.yaml'],
    ],
  );
});

test('an unknown option names file, line, option and what was meant', () => {
  const [mistake] = mistakesOf(
    withFile('hosts/db-01.yaml', (text) => `${text}settings:\n  nixfleet:\n    backup:\n      enabel: true\n`),
  );
  assert.deepEqual(placeOf(mistake), [
    'hosts/db-01.yaml',
    11,
    'nixfleet.backup.enabel',
    'an option that a scope declares',
    'nixfleet.backup.enabel',
  ]);
  assert.equal(mistake?.hint, 'Did you mean nixfleet.backup.enable?');
});

test('a wrong type in a shared layer is told once, for all its hosts', () => {
  const mistakes = mistakesOf(withFile('fleet.yaml', (text) => text.replace('daily: 14', 'daily: often')));
  assert.equal(mistakes.length, 1);
  assert.deepEqual(placeOf(mistakes[0]).slice(2), ['nixfleet.backup.retention.daily', 'signed integer', '"often"']);
  assert.equal(mistakes[0]?.host, 'db-01 and 1 more');
});

test('a conflict of two files names both with their lines', () => {
  const edited = withFile('scopes/web.yaml', (text) => `${text}  networking:\n    domain: web.example\n`);
  const files = edited.map((file) =>
    file.path === 'hosts/web-02.yaml'
      ? { ...file, content: `${file.content}settings:\n  networking:\n    domain: other.example\n` }
      : file,
  );
  const [mistake] = mistakesOf(files);
  assert.match(
    mistake?.message ?? '',
    /hosts\/web-02\.yaml:10 .*scopes\/web\.yaml:\d+|scopes\/web\.yaml:\d+ .*hosts\/web-02\.yaml:10/,
  );
  assert.equal(mistake?.optionPath, 'networking.domain');
});

test('unknown names of roles, sites, channels and scopes are told with what is known', () => {
  const edits: [string, string, string][] = [
    ['role: server', 'role: sever', 'unknown role sever'],
    ['site: paris', 'site: pariss', 'unknown site pariss'],
    ['channel: stable', 'channel: stabel', 'unknown channel stabel'],
    ['[backup]', '[backups]', 'unknown scope backups'],
  ];
  for (const [from, to, message] of edits) {
    const mistakes = mistakesOf(withFile('hosts/db-01.yaml', (text) => text.replace(from, to)));
    assert.equal(mistakes[0]?.message, message);
    assert.match(mistakes[0]?.hint ?? '', /^Did you mean/);
    assert.ok((mistakes[0]?.line ?? 0) > 1);
  }
});

test('mistakes in several files are all told at once', () => {
  const files = withFile('hosts/db-01.yaml', (text) => text.replace('role: server', 'role: sever')).map((file) =>
    file.path === 'hosts/vm-01.yaml' ? { ...file, content: `${file.content}tag: x\n` } : file,
  );
  assert.deepEqual(
    mistakesOf(files).map((d) => [d.file, d.message]),
    [
      ['hosts/vm-01.yaml', 'unknown key'],
      ['hosts/db-01.yaml', 'unknown role sever'],
    ],
  );
});

test('a password hash may not come into a closure', () => {
  const [mistake] = mistakesOf(
    withFile('fleet.yaml', (text) => text.replace('isAdmin: true', 'isAdmin: true\n          hashedPassword: $6$abc')),
  );
  assert.equal(mistake?.optionPath, 'nixfleet.operators.users.alice.hashedPassword');
  assert.match(mistake?.hint ?? '', /hashedPasswordFile/);
});

test('a primaryUser that nobody is, is an error', () => {
  const mistakes = mistakesOf(
    withFile('fleet.yaml', (text) => text.replace('primaryUser: alice', 'primaryUser: ghost')),
  );
  assert.match(mistakes[0]?.message ?? '', /primaryUser is "ghost"/);
});

test('a type of a scope that does not exist is told where it stands', () => {
  const mistakes = mistakesOf(withFile('scopes/web.yaml', (text) => text.replace('type: int', 'type: integr')));
  assert.deepEqual(
    mistakes.map((d) => [d.file, d.optionPath, d.found]),
    [['scopes/web.yaml', 'acme.web.workers', 'integr']],
  );
});

test('no fleet.yaml, and a policy whose waits contradict each other, are errors', () => {
  assert.equal(mistakesOf(acme.filter((file) => file.path !== 'fleet.yaml'))[0]?.expected, 'fleet.yaml');
  const [mistake] = mistakesOf(
    withFile('fleet.yaml', (text) => text.replace('healthTimeoutSeconds: 30', 'healthTimeoutSeconds: 3')),
  );
  assert.equal(mistake?.optionPath, 'channels.edge.rollout.healthTimeoutSeconds');
});
