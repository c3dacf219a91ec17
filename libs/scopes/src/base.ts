import { bool, declareOption, pkg } from '@nixfleet/modules';
import { defineScope } from './scope.ts';

export const enable = declareOption('nixfleet.base.enable', bool, {
  description: 'Whether the command-line tools that every host should have are installed',
  default: true,
});

export const base = defineScope({
  name: 'base',
  description: 'Command-line tools of every host: ifconfig, netstat, xdg-utils',
  platforms: ['nixos'],
  options: [enable],
  when: enable,
  config: { environment: { systemPackages: [pkg('unixtools.ifconfig'), pkg('unixtools.netstat'), pkg('xdg-utils')] } },
});

export const baseDarwin = defineScope({
  name: 'baseDarwin',
  description: 'Command-line tools of every Mac',
  platforms: ['darwin'],
  options: [enable],
  when: enable,
  config: { environment: { systemPackages: [pkg('dockutil'), pkg('mas')] } },
});
