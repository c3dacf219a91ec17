import { bool, declareOption } from '@nixfleet/modules';
import { defineScope } from './scope.ts';

export const enable = declareOption('nixfleet.firewall.enable', bool, {
  description: 'Whether nftables filters what comes in: SSH limited per source address, drops logged',
  default: false,
  example: true,
});

/**
 * New SSH connections a source address may open: one bucket per IPv4 address and per IPv6 /64, so that an attacker
 * exhausts only his own. The original has one bucket for everybody.
 */
const sshRules = `# SSH: five new connections a minute from each source address
tcp dport 22 ct state new meter nixfleet_ssh4 size 65536 { ip saddr timeout 2m limit rate over 5/minute burst 5 packets } counter drop
tcp dport 22 ct state new meter nixfleet_ssh6 size 65536 { ip6 saddr and ffff:ffff:ffff:ffff:: timeout 2m limit rate over 5/minute burst 5 packets } counter drop
`;

export const firewall = defineScope({
  name: 'firewall',
  description: 'nftables, SSH rate limit per source address, logging of what is dropped',
  platforms: ['nixos'],
  options: [enable],
  when: enable,
  config: {
    networking: {
      nftables: { enable: true },
      firewall: {
        enable: true,
        logRefusedConnections: true,
        logReversePathDrops: true,
        extraInputRules: sshRules,
      },
    },
  },
});
