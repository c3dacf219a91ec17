import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type OnceOptions, runOnce } from '../src/run-once.ts';

let dir: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nixfleet once '));
});
after(() => rm(dir, { recursive: true, force: true }));

/** Notes its pid in `begun`, waits while `hold` is there, then ends with 3. */
const program = 'echo $$ >>begun; while [ -e hold ]; do sleep 0.02; done; echo the end; exit 3';

const options = (key: string): OnceOptions => ({
  stateDir: join(dir, 'state'),
  key,
  file: '/bin/sh',
  args: ['-c', program],
  env: process.env,
  cwd: dir,
  timeoutMs: 60_000,
});

const begun = async (): Promise<string[]> =>
  (await readFile(join(dir, 'begun'), 'utf8').catch(() => '')).split('\n').filter(Boolean);

async function hasBegun(times: number): Promise<void> {
  while ((await begun()).length < times) await sleep(20);
}

test('a program under way is waited for, one that ended is not begun again, another key runs', async () => {
  await writeFile(join(dir, 'hold'), '');
  const first = runOnce(options('a'));
  await hasBegun(1);
  const second = runOnce(options('a'));
  await rm(join(dir, 'hold'));
  const result = { code: 3, output: 'the end' };
  assert.deepEqual([await first, await second, await runOnce(options('a'))], [result, result, result]);
  assert.equal((await begun()).length, 1);
  await runOnce(options('b'));
  assert.equal((await begun()).length, 2);
});

test('a program that was killed before its end is run again when it is asked for again', async () => {
  const before = (await begun()).length;
  await writeFile(join(dir, 'hold'), '');
  const first = runOnce(options('c'));
  await hasBegun(before + 1);
  const keeper = (await readFile(join(dir, 'state/activation.pid'), 'utf8')).trim().split(' ')[1];
  process.kill(-Number(keeper), 'SIGKILL');
  assert.equal((await first).code, undefined);
  await rm(join(dir, 'hold'));
  assert.equal((await runOnce(options('c'))).code, 3);
  assert.equal((await begun()).length, before + 2);
});
