import { readdirSync, readFileSync } from 'node:fs';

/** A field of /proc/PID/status in MiB; 0 for a process that is gone. */
function statusMiB(pid: number, field: 'VmHWM' | 'RssAnon'): number {
  try {
    const kib = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Number(kib ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** Peak resident memory of one process, MiB. */
export const peakRssMiB = (pid: number): number => Math.round(statusMiB(pid, 'VmHWM'));

/** Processes whose parent is `pid`: the backends of a Postgres. */
const childrenOf = (pid: number): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((candidate) => {
      try {
        return Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${candidate}/stat`, 'utf8'))?.[1]) === pid;
      } catch {
        return false;
      }
    });

/** Anonymous memory of a process and its children now, MiB: shared buffers are not counted for each backend. */
export const treeAnonMiB = (pid: number): number =>
  Math.round([pid, ...childrenOf(pid)].reduce((sum, each) => sum + statusMiB(each, 'RssAnon'), 0));
