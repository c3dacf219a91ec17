import {
  attrsOf,
  bool,
  type Config,
  declareOption,
  listOf,
  nullOr,
  type Package,
  pkg,
  pkgType,
  refuse,
  str,
  submodule,
} from '@nixfleet/modules';

/** A person with an account on hosts. */
export interface Operator {
  readonly isAdmin: boolean;
  readonly sshAuthorizedKeys: readonly string[];
  readonly shell: Package;
  readonly homeManager: { readonly enable: boolean };
  readonly hashedPassword: string | null;
  readonly hashedPasswordFile: string | null;
  readonly extraGroups: readonly string[];
}

const operator = submodule<Operator>({
  options: [
    declareOption('isAdmin', bool, {
      description: 'Member of wheel (NixOS) or admin (macOS): may use sudo',
      default: false,
    }),
    declareOption('sshAuthorizedKeys', listOf(str), { description: 'SSH public keys', default: [] }),
    declareOption('shell', pkgType, { description: 'Login shell', default: pkg('bash') }),
    declareOption('homeManager.enable', bool, {
      description: 'Whether the Home Manager profiles reach this operator',
      default: false,
    }),
    declareOption('hashedPassword', nullOr(str), {
      description: 'Hash of the password. It would be readable in the store: use hashedPasswordFile',
      default: null,
    }),
    declareOption('hashedPasswordFile', nullOr(str), {
      description: 'File on the host with the hash of the password',
      default: null,
    }),
    declareOption('extraGroups', listOf(str), { description: 'Groups beside roleGroups', default: [] }),
  ],
});

export const users = declareOption('nixfleet.operators.users', attrsOf(operator), {
  description: 'Operators by name',
  default: {},
});
export const primaryUser = declareOption('nixfleet.operators.primaryUser', nullOr(str), {
  description: 'The operator that homes, secrets and persistence are about; needed where there are several',
  default: null,
});
export const roleGroups = declareOption('nixfleet.operators.roleGroups', listOf(str), {
  description: 'Groups of every operator',
  default: [],
});
export const rootSshKeys = declareOption('nixfleet.operators.rootSshKeys', listOf(str), {
  description: 'SSH public keys of root',
  default: [],
});
export const mutableUsers = declareOption('nixfleet.operators.mutableUsers', bool, {
  description: 'Whether passwd may change accounts',
  default: false,
});

/** The name of the primary operator; undefined where there is none. Refuses several without a choice, and a wrong one. */
export function primaryNameOrNone(c: Config): string | undefined {
  const names = Object.keys(c.getOr(users, {}));
  const chosen = c.getOr(primaryUser, null);
  if (chosen !== null) {
    if (names.includes(chosen)) return chosen;
    return refuse(
      `primaryUser is ${JSON.stringify(chosen)}, but there is no such operator${names.length > 0 ? ` (there are ${names.join(', ')})` : ''}`,
      `Name one of nixfleet.operators.users, or add users.${chosen}.`,
    );
  }
  if (names.length > 1)
    return refuse(
      `several operators (${names.join(', ')}) and no primaryUser`,
      'Set nixfleet.operators.primaryUser to one of them.',
    );
  return names[0];
}

export const primaryName = declareOption('nixfleet.operators._primaryName', str, {
  description: 'Name of the primary operator',
  internal: true,
  readOnly: true,
  default: (c) => primaryNameOrNone(c) ?? refuse('no operator is defined', 'Add one below nixfleet.operators.users.'),
  defaultText: 'primaryUser, else the only operator',
});
export const primary = declareOption<Operator>('nixfleet.operators._primary', operator, {
  description: 'The primary operator',
  internal: true,
  readOnly: true,
  default: (c) => c.get(users)[c.get(primaryName)] as Operator,
  defaultText: 'the primary operator',
});
const admins = (c: Config): [string, Operator][] => Object.entries(c.get(users)).filter(([, user]) => user.isAdmin);
export const adminNames = declareOption<readonly string[]>('nixfleet.operators._adminNames', listOf(str), {
  description: 'Names of the admins',
  internal: true,
  readOnly: true,
  default: (c) => admins(c).map(([name]) => name),
  defaultText: 'operators with isAdmin',
});
export const adminSshKeys = declareOption<readonly string[]>('nixfleet.operators._adminSshKeys', listOf(str), {
  description: 'SSH keys of the admins',
  internal: true,
  readOnly: true,
  default: (c) => admins(c).flatMap(([, user]) => user.sshAuthorizedKeys),
  defaultText: 'keys of operators with isAdmin',
});

export const operatorsOptions = [
  users,
  primaryUser,
  roleGroups,
  rootSshKeys,
  mutableUsers,
  primaryName,
  primary,
  adminNames,
  adminSshKeys,
];
