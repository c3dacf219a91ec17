import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { removeTree, unpackNar } from '@nixfleet/nix';
import { type BuiltHost, buildFleet, loadFleetFiles, readFleetDirectory } from '../src/index.ts';

const run = promisify(execFile);
const has = (program: string): boolean => {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

const files = await readFleetDirectory(join(import.meta.dirname, '../../../examples/acme'));
const build = (edit: (text: string) => string = (text) => text): Map<string, BuiltHost> => {
  const edited = files.map((file) => ({ ...file, content: edit(file.content) }));
  return new Map(buildFleet(loadFleetFiles(edited)).hosts.map((host) => [host.host, host]));
};
const hosts = build();
const hostOf = (name: string, from = hosts): BuiltHost => from.get(name) as BuiltHost;

const root = await mkdtemp(join(tmpdir(), 'nixfleet render '));
after(() => removeTree(root));

/** Unpacks a closure into a root of its own and activates it there, as the agent does. */
async function activate(host: BuiltHost, dir = join(root, host.host)): Promise<string> {
  await mkdir(join(dir, 'nix/store'), { recursive: true });
  for (const path of host.paths)
    if (!existsSync(join(dir, path.storePath))) await unpackNar(Readable.from([path.nar]), join(dir, path.storePath));
  const env = { PATH: process.env.PATH, NIXFLEET_ROOT: dir, NIXFLEET_TOPLEVEL: host.toplevel };
  await run('/bin/sh', [join(dir, host.toplevel, 'activate')], { env });
  return dir;
}

test('activation makes /etc of links, and running it again changes nothing', async () => {
  const dir = await activate(hostOf('web-01'));
  assert.equal(await readFile(join(dir, 'etc/hostname'), 'utf8'), 'web-01\n');
  assert.equal(await readlink(join(dir, 'etc/ssh/sshd_config')), '../static/ssh/sshd_config');
  assert.deepEqual(JSON.parse(await readFile(join(dir, 'etc/acme/web.json'), 'utf8')), {
    workers: 4,
    greeting: 'Hello from web-01',
  });
  const before = await readdir(join(dir, 'etc'), { recursive: true });
  await activate(hostOf('web-01'));
  assert.deepEqual(await readdir(join(dir, 'etc'), { recursive: true }), before);
});

test('a file that the next closure no longer has goes, and a file of the host is kept aside', async () => {
  const dir = join(root, 'changing');
  await mkdir(join(dir, 'etc'), { recursive: true });
  await writeFile(join(dir, 'etc/hostname'), 'was here before\n');
  await activate(hostOf('web-01'), dir);
  assert.equal(await readFile(join(dir, 'etc/hostname.before-nixfleet'), 'utf8'), 'was here before\n');
  const without = build((text) =>
    text
      .replace('when: acme.web.enable', 'when: acme.web.never')
      .replace('  acme.web.enable:', '  acme.web.never:\n    type: bool\n    default: false\n  acme.web.enable:'),
  );
  await activate(hostOf('web-01', without), dir);
  assert.equal(existsSync(join(dir, 'etc/acme/web.json')), false);
  assert.equal(existsSync(join(dir, 'etc/systemd/system/acme-web.service')), false);
  assert.equal(existsSync(join(dir, 'etc/hostname')), true);
});

test('the backup unit runs its scripts, and the timer has the schedule of the host', async () => {
  const dir = await activate(hostOf('db-01'));
  const unit = await readFile(join(dir, 'etc/systemd/system/nixfleet-backup.service'), 'utf8');
  const script = /^ExecStart=(.*)$/m.exec(unit)?.[1] ?? '';
  const text = await readFile(join(dir, script), 'utf8');
  assert.match(text, /restic backup --json .* -- \/var\/lib\/postgresql/);
  assert.doesNotMatch(text, /\/nix\/store\/restic/);
  await run('/bin/sh', ['-n', join(dir, script)]);
  const timer = await readFile(join(dir, 'etc/systemd/system/nixfleet-backup.timer'), 'utf8');
  assert.match(timer, /OnCalendar=\*-\*-\* 02:30:00/);
  assert.equal(existsSync(join(dir, 'etc/systemd/system/timers.target.wants/nixfleet-backup.timer')), true);
});

test('nft accepts the firewall, which limits SSH per source before it accepts', {
  skip: !has('nft') && 'nft is not installed',
}, async () => {
  const dir = await activate(hostOf('web-02'));
  const file = join(dir, 'etc/nftables.conf');
  const text = await readFile(file, 'utf8');
  assert.ok(
    text.indexOf('ip saddr timeout') > 0 &&
      text.indexOf('ip saddr timeout') < text.indexOf('dport { 22, 80, 443, 9100 } accept'),
  );
  assert.match(text, /ip6 saddr and ffff:ffff:ffff:ffff::/);
  await run('nft', ['-c', '-f', file]);
});

test('shellcheck has nothing against the scripts of closures', {
  skip: !has('shellcheck') && 'shellcheck is not installed',
}, async () => {
  for (const name of ['db-01', 'desk-01', 'web-01']) {
    const dir = await activate(hostOf(name));
    const store = await readdir(join(dir, 'nix/store'));
    const scripts = store
      .filter((entry) => /-nixfleet-backup(-pre-start)?$/.test(entry))
      .map((entry) => join(dir, 'nix/store', entry));
    await run('shellcheck', ['--severity=warning', join(dir, hostOf(name).toplevel, 'activate'), ...scripts]);
  }
});

test('a prune that fails does not make a backup that succeeded a failure', async () => {
  const dir = await activate(hostOf('db-01'));
  const [name] = (await readdir(join(dir, 'nix/store'))).filter((entry) => entry.endsWith('-nixfleet-backup'));
  const bin = join(root, 'bin');
  const state = join(root, 'backup-state');
  await mkdir(bin, { recursive: true });
  // Stands for the program that fails in one step; the real restic is for the end-to-end tests.
  await writeFile(
    join(bin, 'restic'),
    '#!/bin/sh\n[ "$1" != forget ] || exit 3\necho "{\\"message_type\\":\\"summary\\"}"\n',
    { mode: 0o755 },
  );
  const text = (await readFile(join(dir, 'nix/store', name ?? ''), 'utf8'))
    .replaceAll('/run/current-system/sw/bin/restic', `"${bin}/restic"`)
    .replace('state=/var/lib/nixfleet-backup', `state="${state}"`);
  await run('/bin/sh', ['-c', text]);
  assert.deepEqual(JSON.parse(await readFile(join(state, 'status.json'), 'utf8')), {
    outcome: 'succeeded',
    status: 0,
    prune: 'failed',
  });
  await rm(state, { recursive: true });
});

test('a Mac gets property lists with its schedule', () => {
  const plist = hostOf('mac-01').paths.find((path) => path.storePath.endsWith('-com.nixfleet.backup.plist'));
  const text = plist?.nar.toString('utf8') ?? '';
  assert.match(text, /<key>Hour<\/key>\s*<integer>12<\/integer>\s*<key>Minute<\/key>\s*<integer>30<\/integer>/);
});
