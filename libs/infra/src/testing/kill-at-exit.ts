import type { Child } from '../child.ts';

const children = new Set<Child>();

function killAll(): void {
  for (const { pid, running } of children) if (running) process.kill(pid, 'SIGKILL');
}

/** A server must not outlive the test process, also when that is interrupted before its `after` hooks ran. */
export function killAtExit(child: Child): void {
  if (children.size === 0) {
    process.once('exit', killAll);
    // Whoever listens as well (npm test itself) stops in its own order.
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => {
        if (process.listenerCount(signal) === 0) process.exit(130);
      });
  }
  children.add(child);
  void child.exited.then(() => children.delete(child));
}
