import { type Config, freeform, mkDefault, mkIf, pkg } from '@nixfleet/modules';
import { hostName, hostNetworking, hostSpecOptions, keyboardLayout, locale, timeZone, userName } from '../host-spec.ts';
import { darwinRoots, nixosOptions, nixosRoots, systemOptions } from '../nixos/options.ts';
import { defineScope } from '../scope.ts';

const nixpkgsConfig = { allowBroken: false, allowInsecure: false, allowUnfree: true, allowUnsupportedSystem: true };
const interfaceOf = (c: Config): string | undefined => {
  const name = c.get(hostNetworking)['interface'];
  return typeof name === 'string' && name !== '' ? name : undefined;
};

/** What every NixOS host of a fleet has. */
export const coreNixos = defineScope({
  name: 'core',
  description: 'What every NixOS host of a fleet has: Nix, SSH, locale, network',
  platforms: ['nixos'],
  options: [...hostSpecOptions, ...nixosOptions],
  config: {
    console: { keyMap: mkDefault((c: Config) => c.get(keyboardLayout)) },
    environment: { systemPackages: [pkg('git'), pkg('inetutils')] },
    i18n: { defaultLocale: mkDefault((c: Config) => c.get(locale)) },
    networking: {
      hostName: (c: Config) => c.get(hostName),
      useDHCP: false,
      firewall: { enable: mkDefault(true) },
      interfaces: mkIf(
        (c: Config) => interfaceOf(c) !== undefined,
        (c: Config) => ({ [interfaceOf(c) ?? '']: { useDHCP: true } }),
      ),
    },
    nix: {
      package: mkDefault(pkg('nix')),
      nixPath: [],
      gc: { automatic: true, dates: 'weekly', options: '--delete-older-than 7d' },
      extraOptions: 'experimental-features = nix-command flakes\n',
      settings: {
        'auto-optimise-store': true,
        'trusted-users': ['@admin'],
        substituters: ['https://nix-community.cachix.org', 'https://cache.nixos.org'],
        'trusted-public-keys': [
          'nix-community.cachix.org-1:mB9FSh9qf2dCimDSUo8Zy7bkq5CX+/rkCWyvRCYg3Fs=',
          'cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=',
        ],
      },
    },
    nixpkgs: { config: nixpkgsConfig },
    services: {
      openssh: {
        enable: true,
        settings: {
          KbdInteractiveAuthentication: false,
          PasswordAuthentication: false,
          PermitRootLogin: 'prohibit-password',
        },
      },
      xserver: { xkb: { layout: mkDefault((c: Config) => c.get(keyboardLayout)) } },
    },
    time: { timeZone: (c: Config) => c.get(timeZone) },
  },
});

/** What every Mac of a fleet has. */
export const coreDarwin = defineScope({
  name: 'coreDarwin',
  description: 'What every Mac of a fleet has: Touch ID for sudo, Nix left to its installer',
  platforms: ['darwin'],
  options: [...hostSpecOptions, ...systemOptions],
  config: {
    hostSpec: { isDarwin: true },
    environment: { etc: { 'pam.d/sudo_local': { text: 'auth       sufficient     pam_tid.so\n' } } },
    networking: { hostName: mkDefault((c: Config) => c.get(hostName)) },
    nix: { enable: false, package: mkDefault(pkg('nix')) },
    nixpkgs: { config: nixpkgsConfig },
    security: { pam: { services: { sudo_local: { touchIdAuth: true } } } },
    system: { checks: { verifyNixPath: false }, primaryUser: (c: Config) => c.get(userName), stateVersion: 4 },
  },
});

/** Names of the platform that hosts may define beside what scopes declare. */
export const freeformOf = (platform: 'nixos' | 'darwin'): { type: typeof freeform; roots: readonly string[] } => ({
  type: freeform,
  roots: platform === 'nixos' ? nixosRoots : darwinRoots,
});
