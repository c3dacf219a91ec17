export { randomizedDelaySeconds } from './backup/backup.ts';
export * as backupOptions from './backup/options.ts';
export { commandChecks, httpChecks, systemdChecks } from './framework/agent.ts';
export { freeformOf } from './framework/core.ts';
export { evaluateHost, type HostInput, type Layer, platformOf, roleNames, scopeNames } from './host.ts';
export { hostName, timeZone } from './host-spec.ts';
export {
  type ActivationScript,
  assertions,
  type EtcFile,
  etc,
  systemdServices,
  systemdTimers,
  systemPackages,
  type Unit,
  type User,
  usersUsers,
  warnings,
} from './nixos/options.ts';
export { frameworkScopes, scopes } from './registry.ts';
export { type Role, roles } from './roles.ts';
export type { Platform, Scope } from './scope.ts';
export { defineScope } from './scope.ts';
export { isScript, type Script } from './shell.ts';
