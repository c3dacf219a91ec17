import { mkdir } from 'node:fs/promises';
import { startProgram } from './processes.ts';
import type { Reporter } from './reporter.ts';
import { openAgentCreds, type Secrets } from './secrets.ts';
import type { StateDir } from './state-dir.ts';
import type { Supervisor } from './supervisor.ts';

/** A host that gets an agent here. */
export interface AgentHost {
  readonly host: string;
  readonly site: string;
  readonly channel: string;
}

const heartbeatSeconds = 2;
/** Node processes that begin at the same moment: more would only queue for the processors. */
const startsAtOnce = 4;

export interface AgentsContext {
  readonly supervisor: Supervisor;
  readonly reporter: Reporter;
  readonly state: StateDir;
  readonly secrets: Secrets;
  readonly natsUrl: string;
  readonly fleet: string;
}

/** The settings of a host's agent; makes its credentials. */
export async function makeAgentSettings(
  { state, secrets, ...context }: Pick<AgentsContext, 'state' | 'secrets' | 'natsUrl' | 'fleet'>,
  { host, site }: Pick<AgentHost, 'host' | 'site'>,
): Promise<Record<string, string>> {
  return {
    NIXFLEET_FLEET: context.fleet,
    NIXFLEET_SITE: site,
    NIXFLEET_HOST: host,
    NIXFLEET_NATS_URL: context.natsUrl,
    NIXFLEET_NATS_CREDS_FILE: await openAgentCreds(state, secrets.natsIdentity, { host, site }),
    NIXFLEET_RELEASE_KEYS: secrets.releasePublicKey,
    NIXFLEET_CACHE_KEYS: secrets.cachePublicKey,
    NIXFLEET_HEARTBEAT_SECONDS: String(heartbeatSeconds),
  };
}

async function startAgent(context: AgentsContext, agent: AgentHost): Promise<void> {
  const { supervisor, state } = context;
  const root = state.hostRoot(agent.host);
  await mkdir(root, { recursive: true, mode: 0o700 });
  const name = `agent-${agent.host}`;
  const settings = await makeAgentSettings(context, agent);
  await supervisor.start({
    name,
    stage: 'agents',
    logFile: state.logFile(name),
    launch: async () => {
      const child = await startProgram({
        name,
        state,
        script: 'apps/agent/src/main.ts',
        args: ['--root', root],
        settings,
      });
      return { child, [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() };
    },
  });
}

/** One real agent a host, each its own process with its own credentials and its own root directory. */
export async function startAgents(context: AgentsContext, hosts: readonly AgentHost[]): Promise<void> {
  const waiting = [...hosts];
  const work = async (): Promise<void> => {
    for (let host = waiting.shift(); host !== undefined; host = waiting.shift()) await startAgent(context, host);
  };
  await Promise.all(Array.from({ length: startsAtOnce }, work));
  context.reporter.step(`${hosts.length} agents, each with its own root below ${context.state.hostsDir}`);
}
