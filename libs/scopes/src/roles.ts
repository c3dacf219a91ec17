import { type Module, mkDefault } from '@nixfleet/modules';
import { backup } from './backup/backup.ts';
import { base } from './base.ts';
import { firewall } from './firewall.ts';
import { monitoring } from './monitoring.ts';
import { operators } from './operators/operators.ts';
import type { Scope } from './scope.ts';

/** A bundle of scopes with defaults; a host has one. */
export interface Role {
  readonly name: string;
  readonly description: string;
  readonly scopes: readonly Scope[];
  readonly module: Module;
}

function defineRole(name: string, description: string, scopes: readonly Scope[], config?: unknown): Role {
  const module: Module = {
    key: `role ${name}`,
    origin: { label: `role ${name}` },
    imports: scopes.map((scope) => scope.module),
    ...(config === undefined ? {} : { config }),
  };
  return { name, description, scopes, module };
}

/** The seed's roles, over the scopes that exist so far; their order is that of the original's imports. */
export const roles: readonly Role[] = [
  defineRole('server', 'Headless: firewall and node exporter on', [base, operators, firewall, monitoring], {
    nixfleet: {
      firewall: { enable: mkDefault(true) },
      monitoring: { nodeExporter: { enable: mkDefault(true) } },
    },
  }),
  defineRole(
    'workstation',
    'Interactive: firewall on, desktop groups for its operators',
    [base, operators, firewall, backup],
    {
      nixfleet: {
        firewall: { enable: mkDefault(true) },
        operators: { roleGroups: mkDefault(['networkmanager', 'video', 'audio', 'docker']) },
      },
    },
  ),
  defineRole('endpoint', 'Locked down: who imports it brings firewall and hardware', [base, operators]),
  defineRole('microvm-guest', 'Guest of a microVM host, which owns firewall, backup and network', [base, operators]),
];
