import { join } from 'node:path';
import type { NatsIdentity } from '../nats-identity.ts';
import { findNatsServer, Nats } from '../nats-server.ts';
import { killAtExit } from './kill-at-exit.ts';
import { runsInContainers } from './test-infra.ts';

/** A real nats-server that can be killed and brought back at the same address. */
export interface TestNats extends AsyncDisposable {
  readonly url: string;
  /** As by a fault; what it has stored stays. */
  readonly kill: () => Promise<void>;
  readonly revive: () => Promise<void>;
}

/** `dir` takes the configuration, the log and what is stored, unless the server is in a container. */
export async function startTestNats(dir: string, identity: NatsIdentity): Promise<TestNats> {
  // Loaded for those alone who want it: the engine's client is large.
  if (runsInContainers()) return (await import('./containers.ts')).startNatsContainer(identity);
  return startLocalNats(dir, identity);
}

async function startLocalNats(dir: string, identity: NatsIdentity): Promise<TestNats> {
  const binary = await findNatsServer(join(dir, 'tools'));
  const start = async (port?: number): Promise<Nats> => {
    const nats = await Nats.start({
      binary,
      dir: join(dir, 'nats'),
      identity,
      logFile: join(dir, 'nats.log'),
      ...(port === undefined ? {} : { port }),
    });
    killAtExit(nats.child);
    return nats;
  };
  let nats = await start();
  return {
    url: nats.url,
    kill: () => nats.child.kill(),
    revive: async () => {
      nats = await start(nats.port);
    },
    [Symbol.asyncDispose]: () => nats[Symbol.asyncDispose](),
  };
}
