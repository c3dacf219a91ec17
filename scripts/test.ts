// `npm test`: one real Postgres for every test file, then node:test with its own report. Paths may be given:
// `npm test -- services/telemetry/test/pings.test.ts`. What node:test prints last is the last thing printed.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { TestPostgres } from '../libs/infra/src/testing.ts';

const root = join(import.meta.dirname, '..');
const everything = ['libs', 'services', 'apps', 'test'].map((dir) => `${dir}/**/*.test.ts`);
const fileConcurrency = 2;
/** No file takes a third of it: what hangs must end as a failure, with its name. */
const hangMs = 900_000;

const given = process.argv.slice(2);
const asked = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => asked.abort());

await using postgres = await TestPostgres.open();
if (!asked.signal.aborted) {
  const options = [
    '--test',
    '--test-reporter=spec',
    `--test-concurrency=${fileConcurrency}`,
    `--test-timeout=${hangMs}`,
  ];
  const child = spawn(process.execPath, [...options, ...(given.length > 0 ? given : everything)], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, NIXFLEET_TEST_POSTGRES_URL: postgres.adminUrl },
  });
  // From a terminal Ctrl-C has reached the tests already; a signal to this process alone has not.
  asked.signal.addEventListener('abort', () => child.kill('SIGINT'));
  const exited = Promise.withResolvers<number>();
  child.once('error', exited.reject);
  child.once('exit', (code, signal) => exited.resolve(signal === null ? (code ?? 1) : 130));
  process.exitCode = await exited.promise;
} else process.exitCode = 130;
