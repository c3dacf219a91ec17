import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { closureDigest, generateKeyPair, hashPartOf, removeTree } from '@nixfleet/nix';
import type { AgentReport, BeIntent } from '@nixfleet/schema';
import { signRelease, statementsWithProofs } from '@nixfleet/trust';
import { pino } from 'pino';
import { AttemptRunner } from '../src/attempts.ts';
import type { AgentConfig } from '../src/config.ts';
import { Journal } from '../src/journal.ts';
import { hostRoot, readCurrentToplevel } from '../src/root.ts';
import { buildSystem, narInfoText, serveCache, type TestSystem } from './static-cache.ts';

const releaseKey = generateKeyPair('acme-1');
const cacheKey = generateKeyPair('cache-1');
const [one, two] = [buildSystem('one\n'), buildSystem('two\n')];
const failing = buildSystem('three\n', {
  command: [{ name: 'never', command: 'echo no luck; exit 3', interval: 1, timeout: 1 }],
});
const cache = await serveCache([...one.objects, ...two.objects, ...failing.objects], cacheKey);
after(() => cache[Symbol.asyncDispose]());

interface IntentOptions {
  readonly sequence: number;
  readonly host?: string;
  readonly key?: typeof releaseKey;
  readonly issuedAt?: string;
  readonly expiresAt?: string;
  readonly confirmDeadlineSeconds?: number;
  readonly soakSeconds?: number;
}

const iso = (offsetSeconds: number): string => new Date(Date.now() + offsetSeconds * 1000).toISOString();

function intentFor(system: TestSystem, options: IntentOptions): BeIntent {
  const host = options.host ?? 'web-01';
  const content = {
    fleet: 'acme',
    hosts: [{ host, toplevel: system.toplevel.storePath, closureDigest: closureDigest(system.objects) }],
  };
  const terms = {
    sequence: options.sequence,
    issuedAt: options.issuedAt ?? iso(-5),
    expiresAt: options.expiresAt ?? iso(3600),
  };
  const signed = statementsWithProofs(content, signRelease(content, terms, options.key ?? releaseKey)).get(host);
  assert.ok(signed);
  return {
    version: 1,
    fleet: 'acme',
    site: 'paris',
    host: 'web-01',
    intentSequence: options.sequence,
    attempt: randomUUID(),
    rollout: randomUUID(),
    traceId: 'ab'.repeat(16),
    verb: 'be',
    signed,
    cacheUrls: [cache.url],
    confirmDeadlineSeconds: options.confirmDeadlineSeconds ?? 1,
    soakSeconds: options.soakSeconds ?? 60,
  };
}

/** An agent of its own root, journal and keys; `restart` reads the journal again as a new process would. */
async function startAgent(more: Partial<AgentConfig> = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'nixfleet-agent-'));
  after(() => removeTree(dir));
  const config: AgentConfig = {
    fleet: 'acme',
    site: 'paris',
    host: 'web-01',
    root: dir,
    stateDir: join(dir, 'state'),
    natsUrl: '',
    natsCredsFile: '',
    releaseKeys: [releaseKey.publicKey],
    cacheKeys: [cacheKey.publicKey],
    heartbeatSeconds: 1,
    logLevel: 'silent',
    ...more,
  };
  const restart = async () => {
    const journal = await Journal.open(config.stateDir);
    const runner = new AttemptRunner({
      config,
      root: hostRoot(dir),
      journal,
      bootId: randomUUID(),
      log: pino({ level: 'silent' }),
      onReport: () => undefined,
      signal: new AbortController().signal,
    });
    return { journal, runner };
  };
  const { journal, runner } = await restart();
  const reports = (): readonly AgentReport[] => journal.state.unsent;
  return {
    dir,
    journal,
    runner,
    restart,
    reports,
    steps: (attempt: string) =>
      reports()
        .filter((r) => r.attempt === attempt)
        .map((r) => r.step),
    last: () => reports().at(-1),
    motd: () => readFile(join(dir, 'etc/motd'), 'utf8'),
    activations: async () => (await readFile(join(dir, 'activations'), 'utf8')).trim().split('\n').length,
  };
}

test('an attempt fetches, activates, verifies and confirms, and reports each step in order', async () => {
  const agent = await startAgent();
  const intent = intentFor(one, { sequence: 1 });
  await agent.runner.handle(intent);
  assert.deepEqual(agent.steps(intent.attempt), ['accepted', 'fetching', 'activating', 'verifying', 'confirmed']);
  assert.deepEqual(
    agent.reports().map((r) => r.sequence),
    [1, 2, 3, 4, 5],
  );
  assert.equal(await agent.motd(), 'one\n');
  assert.equal(await readCurrentToplevel(hostRoot(agent.dir)), one.toplevel.storePath);
  assert.equal(agent.last()?.toplevel, one.toplevel.storePath);
});

test('the same intent again, and an older one, change nothing', async () => {
  const agent = await startAgent();
  const first = intentFor(one, { sequence: 2 });
  await agent.runner.handle(first);
  await agent.runner.handle(first);
  await agent.runner.handle(intentFor(two, { sequence: 1 }));
  assert.equal(await agent.activations(), 1);
  assert.equal(await agent.motd(), 'one\n');
});

test('a closure that fails its health check is left again for the confirmed one, and the check is named', async () => {
  const agent = await startAgent();
  await agent.runner.handle(intentFor(one, { sequence: 1 }));
  const bad = intentFor(failing, { sequence: 2 });
  await agent.runner.handle(bad);
  assert.deepEqual(agent.steps(bad.attempt), ['accepted', 'fetching', 'activating', 'verifying', 'reverted']);
  assert.equal(agent.last()?.reason, 'health_failed');
  assert.match(agent.last()?.detail ?? '', /command never: exit 3: no luck/);
  assert.equal(agent.last()?.toplevel, one.toplevel.storePath);
  assert.equal(await agent.motd(), 'one\n');
  assert.equal(await readCurrentToplevel(hostRoot(agent.dir)), one.toplevel.storePath);
});

test('a first closure that fails has nothing to return to and says so', async () => {
  const agent = await startAgent();
  await agent.runner.handle(intentFor(failing, { sequence: 1 }));
  assert.equal(agent.last()?.step, 'failed');
  assert.match(agent.last()?.detail ?? '', /nothing was confirmed here before/);
  assert.equal(agent.journal.state.confirmed, undefined);
});

test('an activation script that fails is a failed attempt that goes back', async () => {
  const broken = buildSystem('four\n', {}, 'echo cannot >&2; exit 7');
  await using other = await serveCache(broken.objects, cacheKey);
  const agent = await startAgent();
  await agent.runner.handle(intentFor(one, { sequence: 1 }));
  await agent.runner.handle({ ...intentFor(broken, { sequence: 2 }), cacheUrls: [other.url] });
  assert.equal(agent.last()?.step, 'reverted');
  assert.equal(agent.last()?.reason, 'activation_failed');
  assert.match(agent.last()?.detail ?? '', /exit 7: cannot/);
  assert.equal(await agent.motd(), 'one\n');
});

test('a statement that is not to be believed is refused before anything is fetched, and the old closure stays', async () => {
  const cases: [string, IntentOptions][] = [
    ['unknown_key', { sequence: 2, key: generateKeyPair('stranger-1') }],
    ['invalid_signature', { sequence: 2, key: generateKeyPair('acme-1') }],
    ['wrong_host', { sequence: 2, host: 'web-02' }],
    ['expired', { sequence: 2, issuedAt: iso(-7200), expiresAt: iso(-3600) }],
    ['clock_skew', { sequence: 2, issuedAt: iso(3600), expiresAt: iso(7200) }],
  ];
  for (const [reason, options] of cases) {
    const agent = await startAgent();
    await agent.runner.handle(intentFor(one, { sequence: 1 }));
    const bad = intentFor(two, options);
    await agent.runner.handle(bad);
    assert.deepEqual(agent.steps(bad.attempt), ['refused'], reason);
    assert.equal(agent.last()?.reason, reason);
    assert.equal(await agent.motd(), 'one\n');
    assert.ok(
      !(await readdir(join(agent.dir, 'nix/store'))).includes(two.toplevel.storePath.slice('/nix/store/'.length)),
    );
  }
});

test('a forged statement inside a valid envelope is refused', async () => {
  const agent = await startAgent();
  const good = intentFor(one, { sequence: 1 });
  await agent.runner.handle({
    ...good,
    signed: { ...good.signed, statement: { ...good.signed.statement, toplevel: two.toplevel.storePath } },
  });
  assert.equal(agent.last()?.reason, 'invalid_signature');
});

test('an older sequence than the accepted one is refused', async () => {
  const agent = await startAgent();
  await agent.runner.handle(intentFor(one, { sequence: 5 }));
  await agent.runner.handle({ ...intentFor(two, { sequence: 4 }), intentSequence: 6 });
  assert.equal(agent.last()?.reason, 'old_sequence');
  assert.equal(await agent.motd(), 'one\n');
});

test('a refused intent does not stop the next good one', async () => {
  const agent = await startAgent();
  await agent.runner.handle(intentFor(two, { sequence: 1, key: generateKeyPair('stranger-1') }));
  await agent.runner.handle(intentFor(one, { sequence: 2 }));
  assert.equal(agent.last()?.step, 'confirmed');
});

test('a NAR with one changed byte is refused and leaves nothing in the store', async () => {
  await using other = await serveCache(two.objects, cacheKey);
  const path = `/nar/${hashPartOf(two.motd.storePath)}.nar`;
  const changed = Buffer.from(two.motd.nar);
  changed[changed.indexOf('two')] = 84;
  other.files.set(path, changed);
  const agent = await startAgent();
  await agent.runner.handle(intentFor(one, { sequence: 1 }));
  const before = await readdir(join(agent.dir, 'nix/store'));
  await agent.runner.handle({ ...intentFor(two, { sequence: 2 }), cacheUrls: [other.url] });
  assert.deepEqual([agent.last()?.step, agent.last()?.reason], ['refused', 'corrupt_nar']);
  assert.deepEqual(await readdir(join(agent.dir, 'nix/store')), before);
  assert.equal(await agent.motd(), 'one\n');
});

test('a narinfo that the cache key signed but the release did not mean is refused: a stolen cache key changes nothing', async () => {
  const evil = buildSystem('evil\n');
  await using other = await serveCache([...two.objects, ...evil.objects], cacheKey);
  // The dependency's narinfo now describes other contents, properly signed by the cache.
  const { storePath, references } = two.motd;
  other.files.set(
    `/${hashPartOf(storePath)}.narinfo`,
    narInfoText({ storePath, references, narHash: evil.motd.narHash, narSize: evil.motd.narSize }, cacheKey),
  );
  other.files.set(`/nar/${hashPartOf(storePath)}.nar`, evil.motd.nar);
  const agent = await startAgent();
  await agent.runner.handle({ ...intentFor(two, { sequence: 1 }), cacheUrls: [other.url] });
  assert.deepEqual([agent.last()?.step, agent.last()?.reason], ['refused', 'closure_mismatch']);
});

test('a dependency that the cache adds to the closure is refused', async () => {
  const extra = buildSystem('extra\n');
  await using other = await serveCache([...two.objects, ...extra.objects], cacheKey);
  const { storePath, narHash, narSize } = two.toplevel;
  other.files.set(
    `/${hashPartOf(storePath)}.narinfo`,
    narInfoText({ storePath, narHash, narSize, references: [two.motd.storePath, extra.motd.storePath] }, cacheKey),
  );
  const agent = await startAgent();
  await agent.runner.handle({ ...intentFor(two, { sequence: 1 }), cacheUrls: [other.url] });
  assert.equal(agent.last()?.reason, 'closure_mismatch');
});

test('paths without a signature by a trusted cache key are refused', async () => {
  const agent = await startAgent({ cacheKeys: [generateKeyPair('cache-2').publicKey] });
  await agent.runner.handle(intentFor(one, { sequence: 1 }));
  assert.deepEqual([agent.last()?.step, agent.last()?.reason], ['refused', 'untrusted_path']);
});

test('a path that the cache lacks fails the attempt and the running closure stays', async () => {
  await using other = await serveCache([two.toplevel], cacheKey);
  const agent = await startAgent();
  await agent.runner.handle(intentFor(one, { sequence: 1 }));
  await agent.runner.handle({ ...intentFor(two, { sequence: 2 }), cacheUrls: [other.url] });
  assert.deepEqual([agent.last()?.step, agent.last()?.reason], ['failed', 'closure_unavailable']);
  assert.equal(await agent.motd(), 'one\n');
});

test('a second cache helps when the first is away', async () => {
  const agent = await startAgent();
  const intent = intentFor(one, { sequence: 1 });
  await agent.runner.handle({ ...intent, cacheUrls: ['http://127.0.0.1:9', cache.url] });
  assert.equal(agent.last()?.step, 'confirmed');
});

test('a return inside its window goes back once; a second one and a late one are refused', async () => {
  const agent = await startAgent();
  await agent.runner.handle(intentFor(one, { sequence: 1 }));
  const second = intentFor(two, { sequence: 2 });
  await agent.runner.handle(second);
  const back = {
    version: 1,
    fleet: 'acme',
    site: 'paris',
    host: 'web-01',
    rollout: second.rollout,
    traceId: second.traceId,
    verb: 'return',
    ofAttempt: second.attempt,
  } as const;
  await agent.runner.handle({ ...back, intentSequence: 3, attempt: randomUUID() });
  assert.deepEqual([agent.last()?.step, agent.last()?.reason], ['reverted', 'return_requested']);
  assert.equal(await agent.motd(), 'one\n');
  await agent.runner.handle({ ...back, intentSequence: 4, attempt: randomUUID() });
  assert.deepEqual([agent.last()?.step, agent.last()?.reason], ['refused', 'window_closed']);

  const late = await startAgent();
  await late.runner.handle(intentFor(one, { sequence: 1 }));
  const short = intentFor(two, { sequence: 2, soakSeconds: 0 });
  await late.runner.handle(short);
  await new Promise((resolve) => {
    setTimeout(resolve, 20);
  });
  await late.runner.handle({ ...back, ofAttempt: short.attempt, intentSequence: 3, attempt: randomUUID() });
  assert.equal(late.last()?.reason, 'window_closed');
  assert.equal(await late.motd(), 'two\n');
});

test('an agent that died in any phase goes on from there and ends in the new closure', async () => {
  for (const phase of ['accepted', 'fetching', 'activating', 'verifying'] as const) {
    const agent = await startAgent();
    await agent.runner.handle(intentFor(one, { sequence: 1 }));
    const intent = intentFor(two, { sequence: 2, confirmDeadlineSeconds: 5 });
    // Runs the attempt whole, then puts the journal back to what it was when the phase began.
    await agent.runner.handle(intent);
    await agent.journal.update((state) => ({
      ...state,
      confirmed: { toplevel: one.toplevel.storePath, generation: 1 },
      attempt: {
        intent,
        phase,
        reportSequence: 2,
        generation: 2,
        confirmDeadlineMs: Date.now() + 5000,
        returned: false,
        returnTo: { toplevel: one.toplevel.storePath, generation: 1 },
      },
    }));
    const next = await agent.restart();
    await next.runner.resume();
    assert.equal(next.journal.state.confirmed?.toplevel, two.toplevel.storePath, phase);
    assert.equal(next.journal.state.unsent.at(-1)?.step, 'confirmed', phase);
  }
});

test('an agent that comes back after the confirm deadline of an unhealthy closure returns', async () => {
  const agent = await startAgent();
  await agent.runner.handle(intentFor(one, { sequence: 1 }));
  const intent = intentFor(failing, { sequence: 2 });
  await agent.runner.handle(intent);
  await agent.journal.update((state) => ({
    ...state,
    attempt: {
      intent,
      phase: 'verifying',
      reportSequence: 4,
      generation: 2,
      confirmDeadlineMs: Date.now() - 60_000,
      returned: false,
      returnTo: { toplevel: one.toplevel.storePath, generation: 1 },
    },
  }));
  const next = await agent.restart();
  await next.runner.resume();
  assert.equal(next.journal.state.unsent.at(-1)?.step, 'reverted');
});

test('a journal that is not one stops the agent with its name and what to do', async () => {
  const agent = await startAgent();
  await agent.journal.update((state) => state);
  const { writeFile } = await import('node:fs/promises');
  await writeFile(join(agent.dir, 'state/journal.json'), '{"version":9}');
  await assert.rejects(Journal.open(join(agent.dir, 'state')), /journal\.json: not a journal of this agent/);
  await rm(join(agent.dir, 'state'), { recursive: true });
});
