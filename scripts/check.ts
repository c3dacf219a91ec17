// `npm run check`: everything that can be said about the code without running it. `--fix` formats.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const fix = process.argv.includes('--fix');

interface Check {
  readonly title: string;
  readonly command: readonly [string, ...string[]];
}

const checks: readonly Check[] = [
  { title: 'format (biome)', command: ['biome', 'check', ...(fix ? ['--write'] : []), '.'] },
  { title: 'types (tsc)', command: ['tsc', '--project', 'tsconfig.json'] },
  { title: 'lint (oxlint, type-aware)', command: ['oxlint', '--type-aware', '--deny-warnings'] },
  { title: 'unused code and dependencies (knip)', command: ['knip', '--no-progress'] },
  {
    title: 'import directions',
    command: [process.execPath, '--test', '--test-reporter=dot', 'test/house/*.test.ts'],
  },
  { title: 'generated files (npm run generate)', command: [process.execPath, 'scripts/generate.ts', '--check'] },
];

let failed = 0;
for (const { title, command } of checks) {
  const [file, ...args] = command;
  const startedMs = Date.now();
  const result = spawnSync(file, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  const ok = result.status === 0;
  process.stdout.write(`${ok ? 'ok  ' : 'FAIL'} ${title} (${((Date.now() - startedMs) / 1000).toFixed(1)} s)\n`);
  if (!ok) {
    failed += 1;
    process.stdout.write(`${result.error?.message ?? ''}${result.stdout}${result.stderr}\n`);
  }
}
process.exitCode = failed === 0 ? 0 : 1;
