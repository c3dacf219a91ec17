import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { NixfleetProcess, scratchDir } from './nixfleet-process.ts';
import { matchIds, normalise, readTutorial } from './tutorial.ts';

const page = join(import.meta.dirname, '../../docs/tutorial.md');
const cli = join(import.meta.dirname, '../../apps/cli/src/main.ts');
const endMark = '__the command has ended__';
/** From one piece of output to the next. */
const commandTimeoutMs = 120_000;

/** One shell for all commands, so that what one exports the next one sees. */
class Shell implements AsyncDisposable {
  readonly #child;
  #output = '';
  #changed = Promise.withResolvers<void>();

  constructor(cwd: string, path: string) {
    const env = { ...process.env, PATH: `${path}${delimiter}${process.env.PATH ?? ''}`, NO_COLOR: '1' };
    this.#child = spawn('/bin/bash', ['--noprofile', '--norc'], { cwd, env, stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString('utf8');
      this.#changed.resolve();
    });
    this.#child.stdin.write('exec 2>&1\n');
  }

  /** Everything that the command printed, by line. */
  async run(command: string): Promise<string[]> {
    this.#output = '';
    this.#child.stdin.write(`${command} </dev/null\nprintf '%s\\n' '${endMark}'\n`);
    while (!this.#output.includes(endMark)) {
      this.#changed = Promise.withResolvers();
      if (this.#output.includes(endMark)) break;
      const { promise, reject } = this.#changed;
      const late = new Error(`${command} does not end; so far:\n${this.#output}`);
      const timer = setTimeout(() => reject(late), commandTimeoutMs);
      await promise.finally(() => clearTimeout(timer));
    }
    const text = this.#output.slice(0, this.#output.indexOf(endMark)).replace(/\n$/, '');
    return text === '' ? [] : text.split('\n').map((line) => line.trimEnd());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await new Promise((resolve) => this.#child.once('close', resolve));
  }
}

/** Replaces ids of the page by those of this run. */
const withIds = (text: string, ids: ReadonlyMap<string, string>): string =>
  text.replaceAll(/\b[0-9a-f]{12}\b/g, (id) => ids.get(id) ?? id);

test('the tutorial prints what it says that it prints', async () => {
  const update = process.env.NIXFLEET_UPDATE_TUTORIAL !== undefined;
  await using dir = await scratchDir('nixfleet-tutorial-');
  const bin = join(dir.path, 'bin');
  await mkdir(bin);
  await writeFile(
    join(bin, 'nixfleet'),
    `#!/bin/sh\nexec ${JSON.stringify(process.execPath)} ${JSON.stringify(cli)} "$@"\n`,
  );
  await chmod(join(bin, 'nixfleet'), 0o755);
  const home = join(dir.path, 'home');
  await mkdir(home);
  const text = await readFile(page, 'utf8');
  const lines = text.split('\n');
  const outputs: (readonly string[])[] = [];
  const ids = new Map<string, string>();
  await using stack = new AsyncDisposableStack();
  const shell = stack.use(new Shell(home, bin));
  let lastId = '';
  for (const step of readTutorial(text)) {
    let actual: string[];
    if (step.inBackground) {
      const [, ...args] = step.command.split(' ');
      const up = stack.use(new NixfleetProcess(args, {}, home));
      await up.printed(/Ctrl-C stops everything/);
      actual = up.output.split('\n').map((line) => line.trimEnd());
      actual = actual
        .slice(actual.findIndex((line) => line.startsWith('PART')))
        .filter((line) => line !== '')
        .slice(0, 7);
    } else {
      const command = update ? step.command.replace(/\b[0-9a-f]{12}\b/, lastId) : withIds(step.command, ids);
      actual = await shell.run(command);
    }
    const shown = actual.map((line) => line.replaceAll(dir.path, '…'));
    outputs.push(shown);
    lastId =
      shown.map((line) => /^release ([0-9a-f]{12})[0-9a-f]{52} {2}signed/.exec(line)?.[1]).find(Boolean) ?? lastId;
    for (const [id, own] of matchIds(step.expected, shown)) ids.set(id, own);
    if (update) continue;
    assert.deepEqual(shown.map(normalise), step.expected.map(normalise), step.command);
  }
  if (update) await writeFile(page, rewrite(lines, text, outputs));
});

/** The page with the outputs of this run, and commands that name its ids. */
function rewrite(lines: readonly string[], text: string, outputs: readonly (readonly string[])[]): string {
  const result: string[] = [];
  let from = 0;
  let lastId = '';
  for (const [
    i,
    {
      lines: [start, end],
    },
  ] of readTutorial(text).entries()) {
    const before = lines
      .slice(from, start)
      .map((line) => (line.startsWith('$ ') && lastId !== '' ? line.replace(/\b[0-9a-f]{12}\b/, lastId) : line));
    result.push(...before, ...(outputs[i] ?? []));
    lastId =
      (outputs[i] ?? []).map((line) => /^release ([0-9a-f]{12})[0-9a-f]{52}/.exec(line)?.[1]).find(Boolean) ?? lastId;
    from = end;
  }
  return [...result, ...lines.slice(from)].join('\n');
}
