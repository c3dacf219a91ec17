import { type Evaluation, isPackage } from '@nixfleet/modules';
import { FleetError } from '@nixfleet/schema';
import { etc, type User, usersUsers } from '@nixfleet/scopes';

/** A file below /etc. */
export interface EtcText {
  readonly path: string;
  readonly text: string;
  /** Copied with this mode instead of linked into the store. */
  readonly mode?: string;
}

type Renderer = (evaluation: Evaluation) => readonly EtcText[];

const textOr = (evaluation: Evaluation, path: string, fallback: string): string => {
  const value = evaluation.read(path);
  return typeof value === 'string' ? value : fallback;
};
const isOn = (evaluation: Evaluation, path: string): boolean => evaluation.read(path) === true;
const objectAt = (evaluation: Evaluation, path: string): Readonly<Record<string, unknown>> => {
  const value = evaluation.read(path);
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {};
};
const listAt = (evaluation: Evaluation, path: string): readonly unknown[] => {
  const value = evaluation.read(path);
  return Array.isArray(value) ? value : [];
};

const identity: Renderer = (e) => {
  const name = textOr(e, 'networking.hostName', textOr(e, 'hostSpec.hostName', 'localhost'));
  const keyMap = e.read('console.keyMap');
  return [
    { path: 'hostname', text: `${name}\n` },
    { path: 'locale.conf', text: `LANG=${textOr(e, 'i18n.defaultLocale', 'en_US.UTF-8')}\n` },
    ...(typeof keyMap === 'string' ? [{ path: 'vconsole.conf', text: `KEYMAP=${keyMap}\n` }] : []),
    { path: 'timezone', text: `${textOr(e, 'time.timeZone', 'UTC')}\n` },
  ];
};

const nixSetting = (value: unknown): string => (Array.isArray(value) ? value.map(nixSetting).join(' ') : String(value));

/** nix.conf(5). */
const nixConf: Renderer = (e) => {
  if (e.read('nix.enable') === false) return [];
  const settings = Object.entries(objectAt(e, 'nix.settings')).map(([key, value]) => `${key} = ${nixSetting(value)}`);
  return [{ path: 'nix/nix.conf', text: `${settings.join('\n')}\n${textOr(e, 'nix.extraOptions', '')}` }];
};

const sshdSetting = (value: unknown): string => (value === true ? 'yes' : value === false ? 'no' : String(value));

/** sshd_config(5), and the keys of each account. */
const sshd: Renderer = (e) => {
  const accounts = Object.entries((e.getOr(usersUsers, {}) as Readonly<Record<string, User>> | undefined) ?? {});
  const keys = accounts.flatMap(([name, user]): EtcText[] => {
    const list = user.openssh?.authorizedKeys?.keys ?? [];
    return list.length === 0 ? [] : [{ path: `ssh/authorized_keys.d/${name}`, text: `${list.join('\n')}\n` }];
  });
  if (!isOn(e, 'services.openssh.enable')) return keys;
  const settings = Object.entries(objectAt(e, 'services.openssh.settings')).map(
    ([key, value]) => `${key} ${sshdSetting(value)}`,
  );
  const text = [...settings.sort(), 'AuthorizedKeysFile %h/.ssh/authorized_keys /etc/ssh/authorized_keys.d/%u'];
  return [{ path: 'ssh/sshd_config', text: `${text.join('\n')}\n` }, ...keys];
};

/** Accounts for the activation of the host; passwords are files on the host, never here. */
const users: Renderer = (e) => {
  const accounts = (e.getOr(usersUsers, {}) as Readonly<Record<string, User>> | undefined) ?? {};
  const plain = Object.fromEntries(
    Object.entries(accounts).map(([name, user]) => [
      name,
      {
        isNormalUser: user.isNormalUser ?? false,
        groups: user.extraGroups ?? [],
        ...(isPackage(user.shell) ? { shell: `/run/current-system/sw/bin/${user.shell.name}` } : {}),
        ...(typeof user.shell === 'string' ? { shell: user.shell } : {}),
        ...(user.home === undefined ? {} : { home: user.home }),
        ...(typeof user.hashedPasswordFile === 'string' ? { hashedPasswordFile: user.hashedPasswordFile } : {}),
      },
    ]),
  );
  const mutable = e.read('users.mutableUsers') !== false;
  return [
    { path: 'nixfleet/users.json', text: `${JSON.stringify({ mutableUsers: mutable, users: plain }, undefined, 2)}\n` },
  ];
};

const indent = (text: string): string =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => (line === '' ? '' : `    ${line}`))
    .join('\n');

/**
 * nft(8). The host's own input rules come before the open ports: a limit that stands after `accept` never counts.
 */
const nftables: Renderer = (e) => {
  if (!isOn(e, 'networking.firewall.enable') || !isOn(e, 'networking.nftables.enable')) return [];
  const sshPorts = isOn(e, 'services.openssh.enable')
    ? (listAt(e, 'services.openssh.ports') as readonly number[]).concat(
        listAt(e, 'services.openssh.ports').length === 0 ? [22] : [],
      )
    : [];
  const open = (family: 'tcp' | 'udp', path: string, more: readonly number[]): string[] => {
    const ports = [...new Set([...(listAt(e, path) as readonly number[]), ...more])].sort((a, b) => a - b);
    return ports.length === 0 ? [] : [`    ${family} dport { ${ports.join(', ')} } accept`];
  };
  const input = [
    '    type filter hook input priority filter; policy drop;',
    '    iifname lo accept',
    '    ct state { established, related } accept',
    '    ct state invalid drop',
    '    meta l4proto { icmp, ipv6-icmp } accept',
    indent(textOr(e, 'networking.firewall.extraInputRules', '')),
    ...open('tcp', 'networking.firewall.allowedTCPPorts', sshPorts),
    ...open('udp', 'networking.firewall.allowedUDPPorts', []),
    ...(isOn(e, 'networking.firewall.logRefusedConnections')
      ? ['    tcp flags syn / fin,syn,rst,ack limit rate 10/second log level info prefix "refused connection: "']
      : []),
  ];
  const forward = textOr(e, 'networking.firewall.extraForwardRules', '');
  const text = [
    // Loading the file again replaces the table in one transaction.
    'table inet nixfleet-fw',
    'delete table inet nixfleet-fw',
    'table inet nixfleet-fw {',
    '  chain input {',
    ...input.filter((line) => line !== ''),
    '  }',
    ...(forward === ''
      ? []
      : [
          '  chain forward {',
          '    type filter hook forward priority filter; policy drop;',
          '    ct state { established, related } accept',
          indent(forward),
          '  }',
        ]),
    '}',
  ];
  return [{ path: 'nftables.conf', text: `${text.join('\n')}\n` }];
};

/** Files that the definition itself puts below /etc. */
const declared: Renderer = (e) =>
  Object.entries(
    (e.getOr(etc, {}) as
      | Readonly<Record<string, { text?: string | null; mode?: string; enable?: boolean }>>
      | undefined) ?? {},
  ).flatMap(([path, file]): EtcText[] => {
    if (file.enable === false) return [];
    if (path.startsWith('/') || path.split('/').some((part) => part === '' || part === '.' || part === '..'))
      throw new FleetError('invalid_fleet', `environment.etc: ${JSON.stringify(path)} is no path below /etc`);
    const { text, mode } = file;
    if (typeof text !== 'string') return [];
    return [{ path, text, ...(mode === undefined || mode === 'symlink' ? {} : { mode }) }];
  });

/** Every renderer of files below /etc; a new one is one function and one entry. */
const nixosRenderers: readonly Renderer[] = [identity, nixConf, sshd, users, nftables, declared];
const darwinRenderers: readonly Renderer[] = [nixConf, users, declared];

/** The files below /etc, sorted; the definition's own text wins over a rendered file of the same path. */
export function renderEtc(platform: 'nixos' | 'darwin', evaluation: Evaluation): EtcText[] {
  const files = new Map<string, EtcText>();
  for (const render of platform === 'nixos' ? nixosRenderers : darwinRenderers)
    for (const file of render(evaluation)) files.set(file.path, file);
  return [...files.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}
