import { constants } from 'node:os';
import type { Reporter } from './reporter.ts';
import type { Supervisor } from './supervisor.ts';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The first signal begins an orderly stop, a second one kills every process and ends this one. */
export function stopOnSignals(supervisor: Supervisor, reporter: Reporter): Disposable {
  const onSignal = (signal: NodeJS.Signals): void => {
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
