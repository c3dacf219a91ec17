import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nixfleet, scratchDir } from './nixfleet-process.ts';

test('the demo plays its scenario on real processes, says that all went as expected, and ends with 0', async () => {
  await using dir = await scratchDir();
  const { code, stdout, stderr } = await nixfleet(['up', '--demo', '--state-dir', dir.path]);
  assert.equal(code, 0, `${stdout}${stderr}`);
  const summary = stdout.slice(stdout.indexOf('Summary'));
  assert.match(summary, /^ok +Release 1 .*12 of 12 hosts run it/m);
  assert.match(summary, /^ok +Release 2 .*web-01 reverted/m);
  assert.match(summary, /^ok +Release 3 .*12 of 12 hosts run it/m);
  assert.match(summary, /^ok +Backup .*up, then late/m);
  assert.match(summary, /all 18 processes have stopped/);
});
