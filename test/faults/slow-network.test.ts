import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Child } from '@nixfleet/infra';
import { makeAgentSettings } from '../../apps/cli/src/up/agents.ts';
import { makeEnvironment } from '../../apps/cli/src/up/processes.ts';
import { FaultBackend } from './fault-backend.ts';
import { hostIsIn } from './holds.ts';
import { checkConverged, checkInvariants, readGenerations } from './invariants.ts';
import { SlowLine, withoutSlowLines } from './slow-line.ts';

const skip = await withoutSlowLines('/dev/null');
const agent = { host: 'web-01', site: 'north' };

let backend: FaultBackend;
const lines = new AsyncDisposableStack();
let line: SlowLine;
before(async () => {
  if (skip !== false) return;
  backend = await FaultBackend.start({ hosts: [agent], withoutAgent: [agent.host] });
  const { ports, secrets, natsUrl } = backend.backend;
  line = lines.use(await SlowLine.lay([ports.nats, ports.cache], backend.state.logFile('forwarder')));
  const root = backend.state.hostRoot(agent.host);
  await mkdir(root, { recursive: true });
  const settings = await makeAgentSettings({ state: backend.state, secrets, natsUrl, fleet: 'faults' }, agent);
  const logFile = backend.state.logFile('agent');
  await backend.supervisor.start({
    name: 'agent',
    stage: 'agents',
    logFile,
    launch: async () => {
      const program = line.inside(process.execPath, ['apps/agent/src/main.ts', '--root', root]);
      const env = makeEnvironment(process.env, settings);
      const child = await Child.start({ name: 'agent', ...program, cwd: `${import.meta.dirname}/../..`, env, logFile });
      return { child, [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() };
    },
  });
});
after(async () => {
  await backend?.supervisor[Symbol.asyncDispose]();
  await lines.disposeAsync();
  await backend?.[Symbol.asyncDispose]();
});

async function rollOut(text: string, onFetching?: () => Promise<void>): Promise<void> {
  const generations = await readGenerations(backend);
  const release = await backend.release(text, randomBytes(40_000).toString('hex'));
  const rollout = await backend.startRollout(release);
  if (onFetching !== undefined) {
    await hostIsIn(backend, agent.host, 'fetching');
    await onFetching();
  }
  const end = await backend.ended(rollout);
  assert.equal(end.state, 'completed', JSON.stringify(end.targets));
  await checkConverged(backend, release, generations);
  await checkInvariants(backend);
}

test('a host behind a line of 256 kbit/s with 200 ms each way and 5 % loss converges', { skip }, () =>
  rollOut('over a slow line'),
);

test('a host that is cut off while it fetches converges when the line is back, activating once', { skip }, () =>
  rollOut('over a line that is cut', async () => {
    line.cut();
    await sleep(5000);
    line.heal();
  }),
);

test('an agent that dies behind the slow line while it fetches goes on and activates once', { skip }, () =>
  rollOut('over a slow line, killed', () => backend.kill('agent')),
);
