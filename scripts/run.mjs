#!/usr/bin/env node
// The one entry of every npm script. It runs on any Node >= 20, brings pnpm, the packages and Node 24 into this
// directory, then hands over. Nothing is installed outside the project's folder.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const pnpmVersion = '12.21.0';
const toolsDir = join(root, '.nixfleet', 'tools');
const commands = {
  up: ['apps/cli/src/main.ts', 'up'],
  demo: ['apps/cli/src/main.ts', 'up', '--demo'],
  cli: ['apps/cli/src/main.ts'],
  check: ['scripts/check.ts'],
  test: ['scripts/test.ts'],
  format: ['scripts/check.ts', '--fix'],
  generate: ['scripts/generate.ts'],
  bench: ['test/bench/main.ts'],
  soak: ['test/soak/main.ts'],
};

function fail(message) {
  console.error(`nixfleet: ${message}`);
  process.exit(1);
}

/** Runs a set-up step quietly; on failure shows what it printed. */
function step(title, file, args) {
  process.stderr.write(`nixfleet: ${title} ...\n`);
  const result = spawnSync(file, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  if (result.error) fail(`${title} failed: ${result.error.message}`);
  if (result.status !== 0) {
    process.stderr.write(`${result.stdout}${result.stderr}\n`);
    fail(`${title} failed (exit ${result.status}). Check that the npm registry is reachable: npm ping`);
  }
}

/** Digest of everything that decides what `pnpm install` would do. */
function manifestDigest() {
  const hash = createHash('sha256').update(`${pnpmVersion} ${process.platform} ${process.arch}`);
  const files = ['package.json', 'pnpm-workspace.yaml', 'pnpm-lock.yaml', 'test/package.json'];
  for (const group of ['libs', 'services', 'apps']) {
    for (const name of readdirSync(join(root, group)).sort()) files.push(`${group}/${name}/package.json`);
  }
  for (const file of files) if (existsSync(join(root, file))) hash.update(file).update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

function setUp() {
  const stamp = join(root, 'node_modules', '.nixfleet-install');
  const digest = manifestDigest();
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  mkdirSync(toolsDir, { recursive: true });
  const pnpmMain = join(toolsDir, 'node_modules', 'pnpm', 'bin', 'pnpm.mjs');
  const pnpmManifest = join(toolsDir, 'node_modules', 'pnpm', 'package.json');
  if (!existsSync(pnpmManifest) || JSON.parse(readFileSync(pnpmManifest, 'utf8')).version !== pnpmVersion) {
    const flags = ['--no-audit', '--no-fund', '--no-save', '--no-package-lock', '--prefix', toolsDir];
    step(`fetching pnpm ${pnpmVersion}`, 'npm', ['install', ...flags, `pnpm@${pnpmVersion}`]);
  }
  const locked = existsSync(join(root, 'pnpm-lock.yaml')) && !process.env.NIXFLEET_UPDATE_LOCKFILE;
  const mode = locked ? '--frozen-lockfile' : '--no-frozen-lockfile';
  step('installing packages', process.execPath, [pnpmMain, 'install', mode]);
  // The digest is taken again: an unfrozen install may have written the lockfile.
  writeFileSync(stamp, manifestDigest());
}

/** Node 24 of the npm package where there is one, else this Node if it runs TypeScript by itself. */
function findNode() {
  const packaged = join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
  if (existsSync(packaged)) return packaged;
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 24 || (major === 24 && minor >= 12)) return process.execPath;
  return fail(
    `no packaged Node 24 for ${process.platform}-${process.arch}, and this Node is ${process.versions.node}: install Node 24.12 or newer`,
  );
}

const [name = '', ...rest] = process.argv.slice(2);
const command = commands[name];
if (!command) fail(`unknown command ${JSON.stringify(name)}; expected one of ${Object.keys(commands).join(', ')}`);
setUp();
const [script, ...fixed] = command;
const node = findNode();
const cwd = name === 'cli' ? (process.env.INIT_CWD ?? process.cwd()) : root;
// Compiled code is kept: the CLI starts in two thirds of the time, and so does everything that it starts.
const NODE_COMPILE_CACHE = process.env.NODE_COMPILE_CACHE ?? join(toolsDir, 'compile-cache');
const env = {
  ...process.env,
  NODE_COMPILE_CACHE,
  PATH: `${dirname(node)}:${join(root, 'node_modules', '.bin')}:${process.env.PATH}`,
};
const child = spawn(node, [join(root, script), ...fixed, ...rest], { cwd, stdio: 'inherit', env });
// Ctrl-C reaches the whole foreground group; this process only waits for the child to finish its shutdown.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  });
}
child.on('exit', (code, signal) => process.exit(signal ? 128 + 15 : (code ?? 1)));
