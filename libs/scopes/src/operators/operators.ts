import { type Config, mkIf, mkOverride, type PlainObject } from '@nixfleet/modules';
import { rootHashedPasswordFile } from '../host-spec.ts';
import { defineScope } from '../scope.ts';
import { escapeShellArg } from '../shell.ts';
import { mutableUsers, type Operator, operatorsOptions, roleGroups, rootSshKeys, users } from './options.ts';

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
    assertions: (c: Config) =>
      Object.entries(c.get(users)).map(([name, operator]) => ({
        assertion: operator.hashedPassword === null && operator.hashedPasswordFile === null,
        message: `nixfleet.operators.users.${name}: nix-darwin cannot set passwords; remove hashedPassword and hashedPasswordFile`,
      })),
  },
});
