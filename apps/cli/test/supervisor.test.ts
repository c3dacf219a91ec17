import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Child } from '@nixfleet/infra';
import { Reporter } from '../src/up/reporter.ts';
import { isAlive } from '../src/up/state-dir.ts';
import { type PartSpec, Supervisor } from '../src/up/supervisor.ts';

let dir: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nixfleet-supervisor-'));
});
after(() => rm(dir, { recursive: true, force: true }));

/** A real process that waits, and says when it is told to end. */
function waitingPart(name: string, stage: PartSpec['stage'], stopped: string[]): PartSpec {
  const logFile = join(dir, `${name}.log`);
  return {
    name,
    stage,
    logFile,
    launch: async () => {
      const child = await Child.start({
        name,
        file: process.execPath,
        args: ['-e', 'setInterval(() => {}, 1000)'],
        logFile,
      });
      return {
        child,
        async [Symbol.asyncDispose]() {
          stopped.push(name);
          await child[Symbol.asyncDispose]();
        },
      };
    },
  };
}

async function waitFor(probe: () => boolean): Promise<void> {
  const giveUpMs = Date.now() + 10_000;
  while (!probe()) {
    assert.ok(Date.now() < giveUpMs, 'nothing within 10 s');
    await sleep(20);
  }
}

test('parts are stopped in the reverse order of their stages, and nothing is left', async () => {
  const stopped: string[] = [];
  const supervisor = new Supervisor(new Reporter(() => undefined));
  for (const stage of ['postgres', 'nats', 'services', 'agents'] as const)
    await supervisor.start(waitingPart(stage, stage, stopped));
  const { pids } = supervisor;
  assert.equal(pids.length, 4);
  await supervisor[Symbol.asyncDispose]();
  assert.deepEqual(stopped, ['agents', 'services', 'nats', 'postgres']);
  assert.deepEqual(pids.filter(isAlive), []);
});

test('a part that is killed is reported and started again', async () => {
  const lines: string[] = [];
  await using supervisor = new Supervisor(new Reporter((text) => lines.push(text)));
  await supervisor.start(waitingPart('deployer', 'services', []));
  const [first = 0] = supervisor.pids;
  process.kill(first, 'SIGKILL');
  await waitFor(() => lines.some((line) => line.includes('deployer is back')));
  assert.match(lines[0] ?? '', /deployer ended unexpectedly; starting it again in 0\.5 s; its log: .*deployer\.log/);
  assert.notEqual(supervisor.pids[0], first);
});

test('after the stop has begun nothing is started', async () => {
  const supervisor = new Supervisor(new Reporter(() => undefined));
  supervisor.abort();
  await assert.rejects(supervisor.start(waitingPart('late', 'agents', [])), /stopped/);
  assert.deepEqual(supervisor.pids, []);
});
