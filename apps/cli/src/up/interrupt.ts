import { constants } from 'node:os';
import type { Reporter } from './reporter.ts';
import type { Supervisor } from './supervisor.ts';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** One Ctrl-C may come twice: from the terminal to the whole group, and forwarded by npm. */
const sameSignalMs = 500;

/** The first signal begins an orderly stop, a later one kills every process and ends this one. */
export function stopOnSignals(supervisor: Supervisor, reporter: Reporter): Disposable {
  let firstMs: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (firstMs !== undefined && Date.now() - firstMs < sameSignalMs) return;
    firstMs ??= Date.now();
    if (supervisor.signal.aborted) {
      supervisor.killAll();
      process.exit(128 + constants.signals[signal]);
    }
    reporter.heading('Stopping agents, services, NATS and Postgres; once more to kill them');
    supervisor.abort();
  };
  for (const signal of signals) process.on(signal, onSignal);
  return {
    [Symbol.dispose]() {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}
