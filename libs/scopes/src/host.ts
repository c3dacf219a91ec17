import { type Evaluation, evaluateModules, type Module, mkDefault, type Origin } from '@nixfleet/modules';
import { freeformOf } from './framework/core.ts';
import { frameworkScopes, scopes } from './registry.ts';
import { roles } from './roles.ts';
import type { Platform, Scope } from './scope.ts';

/** A value of the fleet definition with where it stands. */
export interface Layer {
  readonly origin: Origin;
  readonly config: unknown;
  readonly scalarPriority?: number;
}

export interface HostInput {
  readonly hostName: string;
  /** `x86_64-linux`. */
  readonly system: string;
  readonly roles: readonly string[];
  /** Scopes beside those of the roles; `extraScopes` may define some of them. */
  readonly scopes: readonly string[];
  readonly extraScopes: readonly Scope[];
  /** `hostSpec` values: defaults, modules win. The first one has the lowest say. */
  readonly hostSpec: readonly Layer[];
  /** Settings, the most general first. */
  readonly layers: readonly Layer[];
  readonly stateVersion?: string;
}

export const platformOf = (system: string): Platform => (system.endsWith('-darwin') ? 'darwin' : 'nixos');

/** Names that `roles` and `scopes` may have on a platform; roles are NixOS bundles. */
export const roleNames: readonly string[] = roles.map((role) => role.name);
export const scopeNames = (platform: Platform, extraScopes: readonly Scope[]): readonly string[] =>
  [...scopes, ...extraScopes].filter((scope) => scope.platforms.includes(platform)).map((scope) => scope.name);

/** A scope of a role on macOS is its Darwin variant, where there is one. */
function onPlatform(scope: Scope, platform: Platform): Scope | undefined {
  if (scope.platforms.includes(platform)) return scope;
  return scopes.find((candidate) => candidate.name === `${scope.name}Darwin` && candidate.platforms.includes(platform));
}

function roleModule(name: string, platform: Platform): Module {
  const role = roles.find((candidate) => candidate.name === name);
  if (role === undefined) throw new TypeError(`unknown role ${name}`);
  if (platform === 'nixos') return role.module;
  const variants = role.scopes.flatMap((scope) => onPlatform(scope, platform)?.module ?? []);
  // The defaults of roles speak of NixOS scopes: on macOS a role brings its scopes only.
  return { key: role.module.key, origin: role.module.origin, imports: variants };
}

function scopeModule(name: string, platform: Platform, extraScopes: readonly Scope[]): Module {
  const all = [...scopes, ...extraScopes];
  const scope = all.find((candidate) => candidate.name === name && candidate.platforms.includes(platform));
  const variant = scope ?? all.map((s) => (s.name === name ? onPlatform(s, platform) : undefined)).find(Boolean);
  if (variant === undefined) throw new TypeError(`no scope ${name} for ${platform}`);
  return variant.module;
}

/** Evaluates one host. Roles and scopes must exist: the fleet library checks names before it comes here. */
export function evaluateHost(input: HostInput): Evaluation {
  const platform = platformOf(input.system);
  const facts: Module = {
    key: 'host facts',
    origin: { label: 'host' },
    config: {
      hostSpec: { hostName: mkDefault(input.hostName) },
      nixpkgs: { hostPlatform: input.system },
      ...(platform === 'nixos' ? { system: { stateVersion: mkDefault(input.stateVersion ?? '24.11') } } : {}),
    },
  };
  const asModule = (layer: Layer, i: number, kind: string): Module => ({
    key: `${kind} ${i} ${layer.origin.label}`,
    origin: layer.origin,
    config: layer.config,
    ...(layer.scalarPriority === undefined ? {} : { scalarPriority: layer.scalarPriority }),
  });
  const hostSpec = input.hostSpec.map((layer, i): Module => {
    // Within mkDefault the later layer decides: each next one is a step stronger.
    const config = { hostSpec: { _type: 'override', priority: 1000 - i, content: layer.config } };
    return asModule({ ...layer, config }, i, 'hostSpec');
  });
  const modules: Module[] = [
    ...frameworkScopes(platform).map((scope) => scope.module),
    facts,
    ...hostSpec,
    ...input.roles.map((role) => roleModule(role, platform)),
    ...input.scopes.map((scope) => scopeModule(scope, platform, input.extraScopes)),
    ...input.layers.map((layer, i) => asModule(layer, i, 'layer')),
  ];
  return evaluateModules(modules, freeformOf(platform));
}
