import { type Config, mkIf, mkOverride, type PlainObject } from '@nixfleet/modules';
import { rootHashedPasswordFile } from '../host-spec.ts';
import { defineScope } from '../scope.ts';
import { escapeShellArg } from '../shell.ts';
import {
  mutableUsers,
  type Operator,
  operatorsOptions,
  primaryUser,
  roleGroups,
  rootSshKeys,
  users,
} from './options.ts';

const description = 'Accounts of the people who run the host: keys, sudo, shells, groups';

/** Shells at 900: a plain value of the host wins over an operator's, a default does not. */
const shellPriority = 900;

function account(c: Config, operator: Operator): PlainObject {
  return {
    isNormalUser: true,
    extraGroups: [...c.get(roleGroups), ...(operator.isAdmin ? ['wheel'] : []), ...operator.extraGroups],
    shell: mkOverride(shellPriority, operator.shell),
    openssh: { authorizedKeys: { keys: operator.sshAuthorizedKeys } },
    ...(operator.hashedPassword === null ? {} : { hashedPassword: operator.hashedPassword }),
    ...(operator.hashedPasswordFile === null ? {} : { hashedPasswordFile: operator.hashedPasswordFile }),
  };
}

const mapUsers = <T>(c: Config, map: (operator: Operator, name: string) => T): Record<string, T> =>
  Object.fromEntries(Object.entries(c.get(users)).map(([name, operator]) => [name, map(operator, name)]));

export const operators = defineScope({
  name: 'operators',
  description,
  platforms: ['nixos'],
  options: operatorsOptions,
  config: {
    assertions: (c: Config) => [primaryExists(c)],
    users: {
      mutableUsers: mkIf(
        (c: Config) => Object.keys(c.get(users)).length > 0,
        (c: Config) => c.get(mutableUsers),
      ),
      users: (c: Config) => ({
        ...mapUsers(c, (operator) => account(c, operator)),
        root: {
          openssh: { authorizedKeys: { keys: c.get(rootSshKeys) } },
          ...(c.get(rootHashedPasswordFile) === null ? {} : { hashedPasswordFile: c.get(rootHashedPasswordFile) }),
        },
      }),
    },
  },
});

/** The original takes a primaryUser that nobody is, and gives it the home /home/ghost. */
const primaryExists = (c: Config): { assertion: boolean; message: string } => {
  const name = c.get(primaryUser);
  const names = Object.keys(c.get(users));
  return {
    assertion: name === null || names.includes(name),
    message: `nixfleet.operators.primaryUser is ${JSON.stringify(name)}, but the operators are ${names.join(', ') || 'none'}`,
  };
};

/** macOS has no wheel group: admins join `admin` at activation. */
function adminScript(c: Config): string {
  return Object.entries(c.get(users))
    .filter(([, operator]) => operator.isAdmin)
    .map(([name]) => `/usr/sbin/dseditgroup -o edit -a ${escapeShellArg(name)} -t user admin`)
    .join('\n');
}

export const operatorsDarwin = defineScope({
  name: 'operatorsDarwin',
  description: `${description} (macOS)`,
  platforms: ['darwin'],
  options: operatorsOptions,
  config: {
    users: {
      users: (c: Config) =>
        mapUsers(c, (operator, name) => ({
          home: `/Users/${name}`,
          shell: mkOverride(shellPriority, operator.shell),
          openssh: { authorizedKeys: { keys: operator.sshAuthorizedKeys } },
        })),
    },
    system: {
      activationScripts: { postActivation: { text: mkIf((c: Config) => adminScript(c) !== '', adminScript) } },
    },
    assertions: (c: Config) => [
      primaryExists(c),
      ...Object.entries(c.get(users)).map(([name, operator]) => ({
        assertion: operator.hashedPassword === null && operator.hashedPasswordFile === null,
        message: `nixfleet.operators.users.${name}: nix-darwin cannot set passwords; remove hashedPassword and hashedPasswordFile`,
      })),
    ],
  },
});
