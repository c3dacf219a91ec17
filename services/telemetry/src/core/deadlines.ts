import type { DeclaredJob } from '@nixfleet/schema';

const day = 86_400;

/** systemd's shorthands (systemd.time(7)), in seconds. A month is 31 days: a deadline must not come early. */
const periods: Readonly<Record<string, number>> = {
  minutely: 60,
  hourly: 3600,
  daily: day,
  weekly: 7 * day,
  monthly: 31 * day,
  quarterly: 92 * day,
  semiannually: 184 * day,
  yearly: 366 * day,
  annually: 366 * day,
};

/** Time that a run itself may take when nothing is declared. */
const defaultGraceSeconds = 3600;

export interface Deadline {
  /** From one success to the time at which the next one is expected, in seconds. */
  readonly timeoutSeconds: number;
  /** On top of it before the job counts as late, in seconds. */
  readonly graceSeconds: number;
}

/**
 * When a job counts as late. What the job declares wins; else its schedule says. Expressions beyond the shorthands count
 * as daily for now: OnCalendar's whole grammar is a later change.
 */
export function deadlineOf(
  job: Pick<DeclaredJob, 'schedule' | 'randomizedDelaySeconds' | 'timeoutSeconds' | 'graceSeconds'>,
): Deadline {
  const period = periods[job.schedule.trim().toLowerCase()] ?? day;
  return {
    timeoutSeconds: job.timeoutSeconds ?? period + job.randomizedDelaySeconds,
    graceSeconds: job.graceSeconds ?? defaultGraceSeconds,
  };
}
