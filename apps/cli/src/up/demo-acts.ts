import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ReleaseDetail, RolloutDetail } from '@nixfleet/schema';
import { RolloutDetail as RolloutDetailSchema } from '@nixfleet/schema';
import { type DeliverOptions, makeRelease, rollOut } from './deliver.ts';
import { findStrays, naming, type Outcome } from './demo-checks.ts';
import { copyFleetWith, type GroupEdit } from './fleet-edits.ts';
import type { StateDir } from './state-dir.ts';

export interface DemoContext extends DeliverOptions {
  readonly state: StateDir;
  /** Hosts of the channel that goes first and serve acme's website. */
  readonly webHosts: readonly string[];
}

/** Rolls a release out and wants every host to run it. */
async function converge(demo: DemoContext, release: ReleaseDetail): Promise<Outcome> {
  const rollouts = await rollOut(demo, release);
  const strays = await findStrays(demo.context, demo.state, demo.hosts, release);
  const good = demo.hosts.length - strays.length;
  const missing = strays.length === 0 ? '' : `; not ${naming(strays)}`;
  const undone = rollouts
    .filter((rollout) => rollout.state !== 'completed')
    .map((rollout) => `${rollout.channel} ${rollout.state}`)
    .join(', ');
  return {
    ok: strays.length === 0 && undone === '',
    happened: `${good} of ${demo.hosts.length} hosts run it${missing}${undone === '' ? '' : ` (${undone})`}`,
  };
}

/** A copy of the fleet directory in the demo's state, changed as its author would change it. */
async function changeFleet(demo: DemoContext, edit: GroupEdit): Promise<DemoContext> {
  const fleetDir = join(demo.state.path, edit.name);
  await copyFleetWith(demo.fleetDir, fleetDir, edit);
  demo.reporter.step(`fleet.yaml, new group ${edit.name}: ${edit.option} = ${edit.value} on ${naming(edit.hosts)}`);
  return { ...demo, fleetDir, notes: edit.description };
}

/** Release 1: the fleet as it is, on hosts that have nothing yet. */
export async function firstRelease(demo: DemoContext): Promise<{ release: ReleaseDetail; outcome: Outcome }> {
  const release = await makeRelease(demo);
  return { release, outcome: await converge(demo, release) };
}

/** A rollout that waits for a person would keep its hosts: end it. */
async function closeRollout({ context, reporter }: DemoContext, rollout: RolloutDetail): Promise<void> {
  if (rollout.state !== 'paused') return;
  const path = `/v1/rollouts/${rollout.rollout}/cancel`;
  await context.deployer.ask(RolloutDetailSchema, path, { method: 'POST', body: {} });
  reporter.step(`the paused rollout of channel ${rollout.channel} is cancelled by the operator`);
}

/** Release 2: a website without workers. Its health check must fail on the canary, which goes back by itself. */
export async function brokenRelease(demo: DemoContext, before: ReleaseDetail): Promise<Outcome> {
  const changed = await changeFleet(demo, {
    name: 'release-2',
    description: 'a website without workers',
    hosts: demo.webHosts,
    option: 'acme.web.workers',
    value: '!force 0',
  });
  const release = await makeRelease(changed);
  const [rollout, ...others] = await rollOut(changed, release);
  if (rollout === undefined) return { ok: false, happened: 'no rollout was started' };
  const failed = rollout.targets.filter((target) => target.state === 'failed');
  for (const target of failed)
    demo.reporter.step(
      `${target.host}: ${target.step ?? '-'}, ${target.reason ?? '-'} (${(target.detail ?? '').trim()})`,
    );
  const reverted = failed.filter((target) => target.step === 'reverted' && target.reason === 'health_failed');
  const touched = rollout.targets.filter((target) => target.dispatchedAt !== undefined);
  const strays = await findStrays(demo.context, demo.state, demo.hosts, before);
  await closeRollout(changed, rollout);
  const untouched = demo.hosts.length - touched.length;
  const halted = rollout.state === 'failed' || rollout.state === 'paused';
  return {
    ok:
      halted &&
      others.length === 0 &&
      reverted.length > 0 &&
      reverted.length === touched.length &&
      strays.length === 0 &&
      touched.length < rollout.targets.length,
    happened: `${naming(reverted.map((target) => target.host)) || 'no host'} reverted itself, ${rollout.channel} ${rollout.state}, ${untouched} hosts untouched${strays.length === 0 ? '' : `; not on release 1: ${naming(strays)}`}`,
  };
}

const newGreeting = 'Hello from release 3';

/** Release 3: workers are back and the website greets anew. */
export async function fixedRelease(demo: DemoContext): Promise<Outcome> {
  const changed = await changeFleet(demo, {
    name: 'release-3',
    description: 'workers are back, a new greeting',
    hosts: demo.webHosts,
    option: 'acme.web.greeting',
    value: `!force "${newGreeting}"`,
  });
  const outcome = await converge(changed, await makeRelease(changed));
  const [host = ''] = demo.webHosts;
  const file = join(demo.state.hostRoot(host), 'etc/acme/web.json');
  const text = await readFile(file, 'utf8').catch((error: Error) => error.message);
  demo.reporter.step(`/etc/acme/web.json on ${host}: ${text.trim()}`);
  return text.includes(newGreeting) ? outcome : { ok: false, happened: `${file} lacks the new greeting` };
}
