import { readFileSync, readlinkSync } from 'node:fs';

/** Which process something belongs to, so that another one can tell whether it still lives. */
export interface Instance {
  /** Processes that see each other: one kernel since one boot, one pid namespace. Empty where the kernel can't say. */
  readonly realm: string;
  readonly pid: number;
  /** When the process began, as the kernel counts: a reused id has another one. */
  readonly start: string;
}

function readText(read: () => string): string {
  try {
    return read().trim();
  } catch {
    return '';
  }
}

const startOf = (pid: number): string => {
  const stat = readText(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
};

export function describeInstance(): Instance {
  const boot = readText(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')).replaceAll('-', '');
  const namespace = readText(() => readlinkSync('/proc/self/ns/pid')).replaceAll(/\D/g, '');
  const realm = boot === '' || namespace === '' ? '' : `${boot}-${namespace}`;
  return { realm, pid: process.pid, start: startOf(process.pid) };
}

/** Begins the names of what the instance makes; holds no dots. */
export const formatInstance = ({ realm, pid, start }: Instance): string => `${realm}_${pid}_${start}`;

/** True when the process was seen to be gone; false when it lives, or lived where we can't look. */
export function isGone(formatted: string, self: Instance): boolean {
  const [realm = '', pid = '', start = ''] = formatted.split('_');
  return realm !== '' && realm === self.realm && start !== '' && startOf(Number(pid)) !== start;
}
