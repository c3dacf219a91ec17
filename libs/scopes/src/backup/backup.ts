import { type Config, inPackage, mkIf, mkMerge, pkg, type Thunk } from '@nixfleet/modules';
import { defineScope } from '../scope.ts';
import { escapeShellArg, script } from '../shell.ts';
import { launchdCalendar } from './launchd-calendar.ts';
import * as options from './options.ts';
import { backupScript } from './script.ts';

const hasBackend = (c: Config): boolean => c.get(options.backend) !== null;
const backendPackage: Thunk = (c) => [pkg(c.get(options.backend) === 'restic' ? 'restic' : 'borgbackup')];

/** What a backend cannot work without. */
const assertions: Thunk = (c) => {
  const backend = c.get(options.backend);
  const needs = (option: string, value: string): { assertion: boolean; message: string } => ({
    assertion: value !== '',
    message: `nixfleet.backup.${option} is empty, and nixfleet.backup.backend is ${backend}: set it`,
  });
  if (backend === 'restic')
    return [
      {
        assertion: c.get(options.resticRepository) !== '' && c.get(options.resticPasswordFile) !== '',
        message:
          'nixfleet.backup.restic.repository and .passwordFile must be set where nixfleet.backup.backend is restic',
      },
    ];
  return backend === 'borgbackup' ? [needs('borgbackup.repository', c.get(options.borgRepository))] : [];
};

const description = 'Scheduled backups with restic or borgbackup, hooks, and pings that tell how each run went';

export const backup = defineScope({
  name: 'backup',
  description,
  platforms: ['nixos'],
  options: options.backupOptions,
  when: options.enable,
  config: {
    assertions,
    environment: { systemPackages: mkIf(hasBackend, backendPackage) },
    systemd: {
      services: {
        'nixfleet-backup': {
          description: 'Backup of this host (NixFleet)',
          after: ['network-online.target'],
          wants: ['network-online.target'],
          unitConfig: mkIf((c: Config) => c.get(options.onFailure) !== null, {
            OnFailure: ['nixfleet-backup-failure.service'],
          }),
          preStart: mkIf(
            (c: Config) => c.get(options.preHook) !== '',
            (c: Config) => c.get(options.preHook),
          ),
          postStart: (c: Config) => `# after a successful backup\n${c.get(options.postHook)}`,
          serviceConfig: mkMerge([
            { Type: 'oneshot', StateDirectory: 'nixfleet-backup' },
            mkIf(hasBackend, { ExecStart: (c: Config) => script('nixfleet-backup', backupScript(c)) }),
          ]),
        },
        'nixfleet-backup-failure': mkIf((c: Config) => c.get(options.onFailure) !== null, {
          description: 'Tells the monitor that the backup failed (NixFleet)',
          serviceConfig: {
            Type: 'oneshot',
            ExecStart: (c: Config) =>
              `${inPackage('curl', 'bin/curl')} -fsS -m 10 --retry 3 ${escapeShellArg(c.get(options.onFailure) ?? '')}`,
          },
        }),
      },
      timers: {
        'nixfleet-backup': {
          wantedBy: ['timers.target'],
          timerConfig: {
            OnCalendar: (c: Config) => c.get(options.schedule),
            Persistent: true,
            RandomizedDelaySec: '1h',
          },
        },
      },
    },
  },
});

/** Seconds of RandomizedDelaySec above. */
export const randomizedDelaySeconds = 3600;

export const backupDarwin = defineScope({
  name: 'backupDarwin',
  description: `${description} (macOS)`,
  platforms: ['darwin'],
  options: options.backupOptions,
  when: options.enable,
  config: {
    assertions: (c: Config) => [
      ...(assertions(c) as readonly unknown[]),
      {
        assertion: launchdCalendar(c.get(options.schedule)) !== undefined,
        message: `nixfleet.backup.schedule is ${JSON.stringify(c.get(options.schedule))}: launchd knows hourly, daily, weekly, monthly and *-*-* HH:MM:SS`,
      },
    ],
    environment: { systemPackages: mkIf(hasBackend, backendPackage) },
    launchd: {
      daemons: {
        'nixfleet-backup': mkIf(hasBackend, {
          serviceConfig: {
            Label: 'com.nixfleet.backup',
            ProgramArguments: (c: Config) => ['/bin/sh', '-c', darwinScript(c)],
            StartCalendarInterval: (c: Config) => [launchdCalendar(c.get(options.schedule)) ?? {}],
            StandardOutPath: '/var/log/nixfleet-backup.log',
            StandardErrorPath: '/var/log/nixfleet-backup.log',
          },
        }),
      },
    },
  },
});

/** launchd has no hooks: they run in the same shell, and the failure ping goes with them. */
function darwinScript(c: Config): string {
  const onFailure = c.get(options.onFailure);
  const fail =
    onFailure === null ? 'exit 1' : `/usr/bin/curl -fsS -m 10 --retry 3 ${escapeShellArg(onFailure)}; exit 1`;
  return [
    `INVOCATION_ID=$(/usr/bin/uuidgen | tr -d - | tr A-F a-f); export INVOCATION_ID`,
    c.get(options.preHook),
    `( ${backupScript(c)} ) || { ${fail}; }`,
    c.get(options.postHook),
  ]
    .filter((part) => part !== '')
    .join('\n');
}
