import { anything, attrsOf, bool, declareOption, nullOr, refuse, str } from '@nixfleet/modules';
import { primaryNameOrNone } from './operators/options.ts';

/** Facts of a host that scopes build on. `hostSpec` values of the fleet are defaults: modules win. */
export const hostName = declareOption('hostSpec.hostName', str, { description: 'Name of the host' });
export const isDarwin = declareOption('hostSpec.isDarwin', bool, {
  description: 'Whether it runs macOS',
  default: false,
});
export const userName = declareOption('hostSpec.userName', str, {
  description: 'The primary user',
  default: (c) =>
    primaryNameOrNone(c) ??
    refuse(
      'no operator is defined, so there is no primary user',
      'Add one below nixfleet.operators.users, or set hostSpec.userName.',
    ),
  defaultText: 'the primary operator',
});
export const home = declareOption('hostSpec.home', str, {
  description: 'Home directory of the primary user',
  default: (c) => `${c.get(isDarwin) ? '/Users' : '/home'}/${c.get(userName)}`,
  defaultText: '/home/<userName>, on macOS /Users/<userName>',
});
export const keyboardLayout = declareOption('hostSpec.keyboardLayout', str, {
  description: 'Keyboard layout',
  default: 'us',
});
export const locale = declareOption('hostSpec.locale', str, { description: 'Locale', default: 'en_US.UTF-8' });
export const timeZone = declareOption('hostSpec.timeZone', str, {
  description: 'Time zone, as tzdata names it',
  default: 'UTC',
});
export const hostNetworking = declareOption('hostSpec.networking', attrsOf(anything), {
  description: 'Facts about the network; `interface` gets DHCP',
  default: {},
});
export const rootHashedPasswordFile = declareOption('hostSpec.rootHashedPasswordFile', nullOr(str), {
  description: 'File on the host with the hash of the password of root',
  default: null,
});
export const secretsPath = declareOption('hostSpec.secretsPath', nullOr(str), {
  description: 'Directory of encrypted secrets',
  default: null,
});

export const hostSpecOptions = [
  hostName,
  isDarwin,
  userName,
  home,
  keyboardLayout,
  locale,
  timeZone,
  hostNetworking,
  rootHashedPasswordFile,
  secretsPath,
];
