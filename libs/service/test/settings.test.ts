import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { commonSettings, createLogger, describeSettings, integer, readSettings, secret, words } from '../src/index.ts';

const secretText = 'hunter2-do-not-print';
const spec = {
  ...commonSettings,
  apiToken: secret('token of somebody'),
  retryCount: integer('how often', 1, 5),
  mirrors: words('where else', []),
};
const good = {
  NIXFLEET_POSTGRES_URL: `postgres://u:${secretText}@127.0.0.1/db`,
  NIXFLEET_NATS_URL: 'nats://127.0.0.1',
  NIXFLEET_NATS_CREDS_FILE: '/creds',
  NIXFLEET_HTTP_PORT: '0',
  NIXFLEET_API_TOKEN: secretText,
  NIXFLEET_RETRY_COUNT: '3',
};

function problemsOf(env: NodeJS.ProcessEnv): string {
  try {
    readSettings(spec, env);
  } catch (error) {
    return inspect(error, { depth: 10 });
  }
  return '';
}

test('all that is wrong is told at once, by variable, with what is expected', () => {
  const problems = problemsOf({
    ...good,
    NIXFLEET_NATS_URL: 'http://x',
    NIXFLEET_HTTP_PORT: '70000',
    NIXFLEET_RETRY_COUNT: '',
    NIXFLEET_LOG_LEVEL: 'loud',
  });
  for (const expected of [
    /NIXFLEET_NATS_URL: expected a URL beginning with nats:\/\/ or tls:\/\//,
    /NIXFLEET_HTTP_PORT: expected a whole number from 0 to 65535/,
    /NIXFLEET_RETRY_COUNT is not set: how often/,
    /NIXFLEET_LOG_LEVEL: expected one of fatal, error/,
  ])
    assert.match(problems, expected);
});

test('a secret is in no error, whatever is wrong with it', () => {
  const problems = problemsOf({
    NIXFLEET_POSTGRES_URL: `mysql://u:${secretText}@h/db`,
    NIXFLEET_API_TOKEN: secretText,
  });
  assert.match(problems, /NIXFLEET_POSTGRES_URL: expected a URL beginning with postgres:\/\//);
  assert.doesNotMatch(problems, /hunter2/);
});

test('a secret is read from the file that its variable names, and never printed', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'nixfleet-settings-'));
  try {
    const file = join(dir, 'token');
    await writeFile(file, `${secretText}\n`);
    const settings = readSettings(spec, { ...good, NIXFLEET_API_TOKEN: '', NIXFLEET_API_TOKEN_FILE: file });
    assert.equal(settings.apiToken.reveal(), secretText);
    for (const shown of [
      inspect(settings, { depth: 10 }),
      JSON.stringify(settings),
      String(settings.apiToken),
      `it is ${String(settings.postgresUrl)}`,
    ])
      assert.doesNotMatch(shown, /hunter2/);
    assert.match(
      problemsOf({ ...good, NIXFLEET_API_TOKEN: '', NIXFLEET_API_TOKEN_FILE: join(dir, 'none') }),
      /NIXFLEET_API_TOKEN: ENOENT/,
    );
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

test('the log has no secret, neither by its type nor by its name', () => {
  const lines: string[] = [];
  const log = createLogger('test', 'trace', { write: (line) => void lines.push(line) });
  const { apiToken } = readSettings(spec, good);
  log.info({ apiToken, password: secretText, request: { headers: { authorization: secretText } } }, 'hello');
  log.warn({ options: { token: secretText, connectionString: secretText } }, `it is ${String(apiToken)}`);
  assert.equal(lines.length, 2);
  assert.doesNotMatch(lines.join(''), /hunter2/);
  assert.match(lines.join(''), /"authorization":"\[secret\]"/);
});

test('the table of settings has each variable with its default', () => {
  const table = describeSettings(spec);
  assert.match(table, /\| `NIXFLEET_POSTGRES_URL` \(or `_FILE`\) \| .* \| required \|/);
  assert.match(table, /\| `NIXFLEET_LOG_LEVEL` \| how much to log \| `info` \|/);
  assert.match(table, /\| `NIXFLEET_MIRRORS` \| where else \| `none` \|/);
});
