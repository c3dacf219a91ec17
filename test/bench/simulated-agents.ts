// A process of simulated agents: `node simulated-agents.ts CONFIG.json`. Each agent follows its own intent subject, verifies
// its statement as the real one does, and sends five reports, each after the stream has stored the one before.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type JetStreamClient, jetstream } from '@nats-io/jetstream';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { parsePublicKey } from '@nixfleet/nix';
import { type AgentReport, type AttemptStep, type Intent, intentSubject, reportSubject } from '@nixfleet/schema';
import { verifySignedStatement } from '@nixfleet/trust';

export interface SimulatedAgentsConfig {
  readonly natsUrl: string;
  readonly credsFile: string;
  readonly fleet: string;
  readonly releaseKey: string;
  readonly connections: number;
  readonly agents: readonly { readonly host: string; readonly site: string }[];
}

/** What the parent is told when all have ended. */
export interface SimulatedAgentsResult {
  readonly verified: number;
  readonly reports: number;
  /** When each agent had its intent, ms since the epoch. */
  readonly deliveredMs: readonly number[];
  readonly peakRssMiB: number;
  /** Reports that were sent again because nobody had said that they were stored. */
  readonly retries: number;
}

// The client makes an error with a stack trace for each request before it is sent: dear, and of no use here.
Error.stackTraceLimit = 0;

const steps: readonly AttemptStep[] = ['accepted', 'fetching', 'activating', 'verifying', 'confirmed'];
const bootId = randomUUID();

let retries = 0;

/** As the real agent: the same message id until the stream has it. */
async function publishUntilStored(js: JetStreamClient, subject: string, report: AgentReport): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await js.publish(subject, JSON.stringify(report), {
        msgID: `${report.attempt}:${report.sequence}`,
        timeout: 10_000,
      });
      return;
    } catch (error) {
      if (tries === 20) throw error;
      retries += 1;
    }
  }
}

async function act(
  js: JetStreamClient,
  intent: Intent,
  agent: { readonly host: string; readonly site: string },
): Promise<void> {
  if (intent.verb !== 'be') throw new Error(`${agent.host} was told to ${intent.verb}`);
  for (const [i, step] of steps.entries()) {
    const report: AgentReport = {
      version: 1,
      host: agent.host,
      site: agent.site,
      attempt: intent.attempt,
      sequence: i + 1,
      step,
      time: new Date().toISOString(),
      bootId,
      agentVersion: '0.1.0',
      ...(step === 'confirmed' ? { toplevel: intent.signed.statement.toplevel, generation: 1 } : {}),
    };
    await publishUntilStored(js, reportSubject(agent.site, agent.host), report);
  }
}

const config = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as SimulatedAgentsConfig;
const trustedKeys = [parsePublicKey(config.releaseKey)];
const authenticator = credsAuthenticator(readFileSync(config.credsFile));
const connections: NatsConnection[] = [];
for (let i = 0; i < config.connections; i += 1)
  connections.push(await connect({ servers: config.natsUrl, authenticator }));

let verified = 0;
const deliveredMs: number[] = [];
const done = config.agents.map(async (agent, i) => {
  const nc = connections[i % connections.length] as NatsConnection;
  const subscription = nc.subscribe(intentSubject(agent.site, agent.host), { max: 1 });
  for await (const message of subscription) {
    deliveredMs.push(Date.now());
    const intent = message.json<Intent>();
    if (intent.verb !== 'be') throw new Error(`${agent.host} was told to ${intent.verb}`);
    const context = { fleet: config.fleet, host: agent.host, trustedKeys, nowMs: Date.now(), lastSequence: 0 };
    const verdict = verifySignedStatement(intent.signed, context);
    if (!verdict.ok) throw new Error(`${agent.host}: ${verdict.detail}`);
    verified += 1;
    await act(jetstream(nc), intent, agent);
  }
});
await Promise.all(connections.map((nc) => nc.flush()));
process.send?.('ready');
await Promise.all(done);
const result: SimulatedAgentsResult = {
  verified,
  reports: verified * steps.length,
  deliveredMs,
  retries,
  peakRssMiB: Math.round(process.resourceUsage().maxRSS / 1024),
};
// A large message is sent piece by piece: nothing may end before it is out.
await new Promise((resolve) => process.send?.(result, resolve));
await Promise.all(connections.map((nc) => nc.close()));
process.disconnect?.();
