import { type Config, inPackage } from '@nixfleet/modules';
import { escapeShellArg as quote } from '../shell.ts';
import * as options from './options.ts';

const curl = inPackage('curl', 'bin/curl');

/**
 * Pings speak the healthchecks API: `/start`, success with the summary as body, `/fail` with the end of the log, all
 * of one run under `rid` = the systemd invocation as a UUID. A ping that fails never fails the backup.
 */
const pingFunctions = (urls: readonly string[]): string => `
rid=$(printf '%s' "\${INVOCATION_ID:-}" | sed -n 's/^\\([0-9a-f]\\{8\\}\\)\\([0-9a-f]\\{4\\}\\)\\([0-9a-f]\\{4\\}\\)\\([0-9a-f]\\{4\\}\\)\\([0-9a-f]\\{12\\}\\)$/\\1-\\2-\\3-\\4-\\5/p')
ping_one() { # ping_one URL SUFFIX BODY_FILE
  base=\${1%%\\?*}
  query=\${1#"$base"}
  if [ -n "$rid" ]; then
    if [ -n "$query" ]; then query="$query&rid=$rid"; else query="?rid=$rid"; fi
  fi
  ${curl} -fsS -m 10 --retry 3 -o /dev/null --data-binary @"$3" "$base$2$query" || echo "nixfleet-backup: ping to the monitor failed" >&2
}
ping_all() { # ping_all SUFFIX BODY_FILE
${urls.map((url) => `  ping_one ${url} "$1" "$2"`).join('\n') || '  :'}
}
`;

/** How the configured monitors appear in the script: literal URLs, and those that a file of the host holds. */
function monitors(c: Config): string[] {
  const file = c.get(options.pingUrlFile);
  const url = c.get(options.onSuccess);
  return [...(url === null ? [] : [quote(url)]), ...(file === null ? [] : [`"$(cat ${quote(file)})"`])];
}

const retention = (c: Config): string =>
  `--keep-daily ${c.get(options.keepDaily)} --keep-weekly ${c.get(options.keepWeekly)} --keep-monthly ${c.get(options.keepMonthly)}`;

function resticCommands(c: Config): { setUp: string; backup: string; prune: string } {
  const restic = inPackage('restic', 'bin/restic');
  const excludes = c.get(options.exclude).map((pattern) => `--exclude=${quote(pattern)}`);
  return {
    setUp: `export RESTIC_REPOSITORY=${quote(c.get(options.resticRepository))}
export RESTIC_PASSWORD_FILE=${quote(c.get(options.resticPasswordFile))}
${restic} cat config >/dev/null 2>&1 || ${restic} init`,
    backup: [restic, 'backup', '--json', ...excludes, '--', ...c.get(options.paths).map(quote)].join(' '),
    prune: `${restic} forget --prune ${retention(c)}`,
  };
}

function borgCommands(c: Config): { setUp: string; backup: string; prune: string } {
  const borg = inPackage('borgbackup', 'bin/borg');
  const passphraseFile = c.get(options.borgPassphraseFile);
  const excludes = c.get(options.exclude).map((pattern) => `--exclude=${quote(pattern)}`);
  return {
    setUp: `export BORG_REPO=${quote(c.get(options.borgRepository))}
${passphraseFile === null ? '' : `export BORG_PASSCOMMAND=${quote(`cat ${quote(passphraseFile)}`)}\n`}${borg} info >/dev/null 2>&1 || ${borg} init --encryption=${quote(c.get(options.borgEncryption))}`,
    backup: [borg, 'create', '--json', ...excludes, "'::{hostname}-{now}'", ...c.get(options.paths).map(quote)].join(
      ' ',
    ),
    prune: `${borg} prune ${retention(c)} && ${borg} compact`,
  };
}

/**
 * The backup itself. Its exit status is that of the backup alone: a prune that fails is told in the log and in
 * status.json, for the snapshot exists.
 */
export function backupScript(c: Config): string {
  const { setUp, backup, prune } = c.get(options.backend) === 'borgbackup' ? borgCommands(c) : resticCommands(c);
  return `#!/bin/sh
# Written by NixFleet: scope backup.
set -u
state=${quote(c.get(options.stateDirectory))}
mkdir -p "$state"
log="$state/last.log"
summary="$state/last-summary.json"
: >"$log"
: >"$summary"
${pingFunctions(monitors(c))}
ping_all /start "$log"
status=0
{
${setUp}
${backup} >"$summary"
} 2>>"$log" || status=$?
if [ "$status" -ne 0 ]; then
  tail -c 10000 "$log" >"$log.tail"
  cat "$log" >&2
  ping_all /fail "$log.tail"
  printf '{"outcome":"failed","status":%s,"prune":"skipped"}\\n' "$status" >"$state/status.json"
  exit "$status"
fi
pruned=ok
{ ${prune}; } >>"$log" 2>&1 || pruned=failed
[ "$pruned" = ok ] || { echo "nixfleet-backup: the backup is made, but old snapshots could not be pruned" >&2; tail -n 20 "$log" >&2; }
printf '{"outcome":"succeeded","status":0,"prune":"%s"}\\n' "$pruned" >"$state/status.json"
tail -n 1 "$summary" >"$summary.last"
ping_all "" "$summary.last"
`;
}
