import {
  attrsOf,
  bool,
  declareOption,
  either,
  freeform,
  lines,
  listOf,
  nullOr,
  type Option,
  type OptionType,
  pkgType,
  port,
  str,
  submodule,
} from '@nixfleet/modules';

/**
 * Options of NixOS and nix-darwin whose definitions merge in their own way: lists that sort, texts that join,
 * submodules. What is not declared here merges freely. None has a default: NixOS fills in its own.
 */
const optional = <T>(path: string, type: OptionType<T>, description: string): Option<T> =>
  declareOption(path, type, { description, optional: true });

const member = <T>(name: string, type: OptionType<T>): Option<T> =>
  declareOption(name, type, { description: name, optional: true });

const sortedPorts = (path: string, description: string): Option<readonly number[]> =>
  declareOption(path, listOf(port), {
    description,
    optional: true,
    apply: (ports) => [...new Set(ports)].sort((a, b) => a - b),
  });

/** `users.users.<name>`. */
export interface User {
  readonly isNormalUser?: boolean;
  readonly isSystemUser?: boolean;
  readonly description?: string;
  readonly group?: string;
  readonly home?: string;
  readonly extraGroups?: readonly string[];
  readonly shell?: unknown;
  readonly hashedPassword?: string | null;
  readonly hashedPasswordFile?: string | null;
  readonly openssh?: { readonly authorizedKeys?: { readonly keys?: readonly string[] } };
}

/** `systemd.services.<name>` and its like: unit settings as NixOS names them. */
export interface Unit {
  readonly enable?: boolean;
  readonly description?: string;
  readonly after?: readonly string[];
  readonly before?: readonly string[];
  readonly wants?: readonly string[];
  readonly requires?: readonly string[];
  readonly wantedBy?: readonly string[];
  readonly requiredBy?: readonly string[];
  readonly path?: readonly unknown[];
  readonly environment?: Readonly<Record<string, unknown>>;
  readonly script?: string;
  readonly preStart?: string;
  readonly postStart?: string;
  readonly startLimitIntervalSec?: number;
  readonly unitConfig?: Readonly<Record<string, unknown>>;
  readonly serviceConfig?: Readonly<Record<string, unknown>>;
  readonly timerConfig?: Readonly<Record<string, unknown>>;
}

/** `environment.etc.<name>`. */
export interface EtcFile {
  readonly enable?: boolean;
  readonly text?: string | null;
  readonly mode?: string;
}

const strings = listOf(str);

const user = submodule<User>({
  options: [
    member('isNormalUser', bool),
    member('isSystemUser', bool),
    member('description', str),
    member('extraGroups', strings),
    member('packages', listOf(pkgType)),
    member('shell', nullOr(either(pkgType, str))),
    member('hashedPassword', nullOr(str)),
    member('hashedPasswordFile', nullOr(str)),
    member('openssh.authorizedKeys.keys', strings),
  ],
  freeform,
});

const unit = submodule<Unit>({
  options: [
    member('enable', bool),
    member('description', str),
    ...['after', 'before', 'wants', 'requires', 'wantedBy', 'requiredBy', 'partOf', 'bindsTo', 'conflicts'].map(
      (name) => member(name, strings),
    ),
    ...['script', 'preStart', 'postStart', 'preStop', 'postStop', 'reload'].map((name) => member(name, lines)),
  ],
  freeform,
});

const etcFile = submodule<EtcFile>({
  options: [member('enable', bool), member('text', nullOr(lines)), member('mode', str)],
  freeform,
});

export interface ActivationScript {
  readonly text?: string;
  readonly deps?: readonly string[];
}
const activationScript = either(
  str,
  submodule<ActivationScript>({ options: [member('text', lines), member('deps', strings)], freeform }),
);

const freeSubmodule = submodule<Readonly<Record<string, unknown>>>({ options: [], freeform });

export const etc = optional('environment.etc', attrsOf(etcFile), 'Files below /etc');
export const systemPackages = optional('environment.systemPackages', listOf(pkgType), 'Packages of the system profile');
export const usersUsers = optional('users.users', attrsOf(user), 'Accounts');
export const systemdServices = optional('systemd.services', attrsOf(unit), 'systemd services');
export const systemdTimers = optional('systemd.timers', attrsOf(unit), 'systemd timers');
export const allowedTcpPorts = sortedPorts('networking.firewall.allowedTCPPorts', 'Open TCP ports');
export const allowedUdpPorts = sortedPorts('networking.firewall.allowedUDPPorts', 'Open UDP ports');
export const firewallEnable = optional('networking.firewall.enable', bool, 'Whether the firewall is on');
export const extraInputRules = optional(
  'networking.firewall.extraInputRules',
  lines,
  'nftables rules of the input chain',
);
export const extraForwardRules = optional(
  'networking.firewall.extraForwardRules',
  lines,
  'nftables rules of the forward chain',
);

export interface Assertion {
  readonly assertion: boolean;
  readonly message: string;
}
export const assertions = declareOption(
  'assertions',
  listOf(
    submodule<Assertion>({
      options: [
        declareOption('assertion', bool, { description: 'What must hold' }),
        declareOption('message', str, { description: 'What to tell when it does not' }),
      ],
    }),
  ),
  { description: 'What must hold for the host to be built', default: [], internal: true },
);
export const warnings = declareOption('warnings', listOf(str), {
  description: 'What to tell whoever builds the host',
  default: [],
  internal: true,
});

/** Declared on every host. */
export const systemOptions: readonly Option[] = [
  assertions,
  warnings,
  etc,
  systemPackages,
  usersUsers,
  optional('users.mutableUsers', bool, 'Whether passwd may change accounts'),
  optional('nix.settings', freeSubmodule, 'nix.conf'),
  optional('nix.extraOptions', lines, 'Text at the end of nix.conf'),
  optional('nix.package', pkgType, 'The nix package'),
  optional('system.activationScripts', attrsOf(activationScript), 'Scripts that each activation runs'),
  optional('programs.ssh.knownHosts', attrsOf(freeSubmodule), 'Known host keys'),
];

/** Declared on NixOS hosts. */
export const nixosOptions: readonly Option[] = [
  ...systemOptions,
  systemdServices,
  systemdTimers,
  optional('systemd.sockets', attrsOf(unit), 'systemd sockets'),
  optional('systemd.paths', attrsOf(unit), 'systemd paths'),
  optional('systemd.targets', attrsOf(unit), 'systemd targets'),
  optional('systemd.mounts', listOf(unit), 'systemd mounts'),
  allowedTcpPorts,
  allowedUdpPorts,
  firewallEnable,
  extraInputRules,
  extraForwardRules,
  optional('networking.interfaces', attrsOf(freeSubmodule), 'Network interfaces'),
  optional('boot.kernelModules', strings, 'Kernel modules to load'),
];

/** Top-level names of NixOS that scopes and hosts may define freely. */
export const nixosRoots: readonly string[] = [
  'boot',
  'console',
  'containers',
  'documentation',
  'environment',
  'fileSystems',
  'fonts',
  'gtk',
  'hardware',
  'home-manager',
  'i18n',
  'location',
  'networking',
  'nix',
  'nixpkgs',
  'power',
  'powerManagement',
  'programs',
  'qt',
  'security',
  'services',
  'sound',
  'swapDevices',
  'system',
  'systemd',
  'time',
  'users',
  'virtualisation',
  'xdg',
  'zramSwap',
  'disko',
  'microvm',
  'sops',
  'age',
];

/** Top-level names of nix-darwin. */
export const darwinRoots: readonly string[] = [
  'environment',
  'fonts',
  'home-manager',
  'homebrew',
  'launchd',
  'networking',
  'nix',
  'nixpkgs',
  'power',
  'programs',
  'security',
  'services',
  'system',
  'time',
  'users',
  'age',
  'sops',
];
