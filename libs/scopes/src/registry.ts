import { backup, backupDarwin } from './backup/backup.ts';
import { base, baseDarwin } from './base.ts';
import { firewall } from './firewall.ts';
import { agent, agentDarwin } from './framework/agent.ts';
import { coreDarwin, coreNixos } from './framework/core.ts';
import { monitoring } from './monitoring.ts';
import { operators, operatorsDarwin } from './operators/operators.ts';
import type { Platform, Scope } from './scope.ts';

/** Scopes that hosts and roles import by name. A new scope is one file and one entry here. */
export const scopes: readonly Scope[] = [
  base,
  baseDarwin,
  operators,
  operatorsDarwin,
  firewall,
  backup,
  backupDarwin,
  monitoring,
];

/** Scopes that every host of the platform has. */
export const frameworkScopes = (platform: Platform): readonly Scope[] =>
  platform === 'nixos' ? [coreNixos, agent] : [coreDarwin, agentDarwin];
