import {
  bool,
  declareOption,
  enumOf,
  int,
  lines,
  listOf,
  nullOr,
  positiveInt,
  str,
  unsignedInt,
} from '@nixfleet/modules';

const option = 'nixfleet.backup';

export const enable = declareOption(`${option}.enable`, bool, {
  description: 'Whether the host is backed up',
  default: false,
  example: true,
});
export const backend = declareOption(`${option}.backend`, nullOr(enumOf(['restic', 'borgbackup'])), {
  description: 'What makes the backup; null: hooks only',
  default: null,
});
export const paths = declareOption(`${option}.paths`, listOf(str), {
  description: 'What is backed up',
  default: ['/persist'],
});
export const exclude = declareOption(`${option}.exclude`, listOf(str), {
  description: 'Patterns that are left out',
  default: ['/persist/nix', '*.cache', '/tmp', '/run', '/dev/shm'],
});
export const schedule = declareOption(`${option}.schedule`, str, {
  description: 'When it runs, as systemd OnCalendar',
  default: 'daily',
});
export const stateDirectory = declareOption(`${option}.stateDirectory`, str, {
  description: 'Where the outcome of the last run is kept',
  default: '/var/lib/nixfleet-backup',
});
export const preHook = declareOption(`${option}.preHook`, lines, {
  description: 'Shell commands before the backup',
  default: '',
});
export const postHook = declareOption(`${option}.postHook`, lines, {
  description: 'Shell commands after the backup',
  default: '',
});
export const keepDaily = declareOption(`${option}.retention.daily`, int, {
  description: 'Daily snapshots to keep',
  default: 7,
});
export const keepWeekly = declareOption(`${option}.retention.weekly`, int, {
  description: 'Weekly snapshots to keep',
  default: 4,
});
export const keepMonthly = declareOption(`${option}.retention.monthly`, int, {
  description: 'Monthly snapshots to keep',
  default: 6,
});
export const onSuccess = declareOption(`${option}.healthCheck.onSuccess`, nullOr(str), {
  description: 'URL to ask after a backup (healthchecks API). Whoever reads the store reads it',
  default: null,
  example: 'https://hc-ping.com/xxx',
});
export const onFailure = declareOption(`${option}.healthCheck.onFailure`, nullOr(str), {
  description: 'URL to ask after a failure',
  default: null,
});
export const resticRepository = declareOption(`${option}.restic.repository`, str, {
  description: 'Repository, as restic --repo takes it',
  default: '',
  example: '/mnt/backup/restic',
});
export const resticPasswordFile = declareOption(`${option}.restic.passwordFile`, str, {
  description: 'File on the host with the password of the repository',
  default: '',
  example: '/run/secrets/restic-password',
});
export const borgRepository = declareOption(`${option}.borgbackup.repository`, str, {
  description: 'Repository, as borg takes it',
  default: '',
  example: '/mnt/backup/borg',
});
export const borgEncryption = declareOption(`${option}.borgbackup.encryption`, str, {
  description: 'Encryption of a new repository',
  default: 'repokey',
});
export const borgPassphraseFile = declareOption(`${option}.borgbackup.passphraseFile`, nullOr(str), {
  description: 'File on the host with the passphrase',
  default: null,
});

/** Not in the original: how NixFleet's own telemetry watches the job. */
export const pingUrlFile = declareOption(`${option}.monitor.pingUrlFile`, nullOr(str), {
  description:
    'File on the host with the ping URL of this job (nixfleet backups shows it); start, success and failure are sent to it',
  default: null,
  example: '/run/secrets/nixfleet-backup-ping-url',
});
export const timeoutSeconds = declareOption(`${option}.monitor.timeoutSeconds`, nullOr(positiveInt), {
  description: 'Seconds between runs after which the backup is late; null: derived from the schedule',
  default: null,
});
export const graceSeconds = declareOption(`${option}.monitor.graceSeconds`, nullOr(unsignedInt), {
  description: 'Seconds that a late run has before the backup counts as down; null: derived from the schedule',
  default: null,
});

export const backupOptions = [
  enable,
  backend,
  paths,
  exclude,
  schedule,
  stateDirectory,
  preHook,
  postHook,
  keepDaily,
  keepWeekly,
  keepMonthly,
  onSuccess,
  onFailure,
  resticRepository,
  resticPasswordFile,
  borgRepository,
  borgEncryption,
  borgPassphraseFile,
  pingUrlFile,
  timeoutSeconds,
  graceSeconds,
];
