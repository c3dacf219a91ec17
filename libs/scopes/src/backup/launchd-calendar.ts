/** StartCalendarInterval of a systemd OnCalendar expression; undefined for one that launchd cannot express. */
export function launchdCalendar(schedule: string): Readonly<Record<string, number>> | undefined {
  switch (schedule.trim()) {
    case 'hourly':
      return { Minute: 0 };
    case 'daily':
      return { Hour: 0, Minute: 0 };
    case 'weekly':
      return { Weekday: 1, Hour: 0, Minute: 0 };
    case 'monthly':
      return { Day: 1, Hour: 0, Minute: 0 };
  }
  const [, hour, minute] = /^(?:\*-\*-\* )?([01]?\d|2[0-3]):([0-5]\d)(?::00)?$/.exec(schedule.trim()) ?? [];
  if (hour === undefined || minute === undefined) return undefined;
  return { Hour: Number(hour), Minute: Number(minute) };
}
