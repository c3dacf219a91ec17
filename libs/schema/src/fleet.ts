import { type Static, Type } from 'typebox';
import { ChannelName, FleetName, HostId, SiteId, System, Tag } from './ids.ts';

/**
 * The fleet definition as its author writes it: `fleet.yaml`, `hosts/<name>.yaml` and `scopes/<name>.yaml`. These
 * declarations are the TypeScript types, the validation and the JSON Schemas that editors complete from.
 */

/** Options of the module system, nested attribute sets as in Nix: `nixfleet: { backup: { enable: true } }`. */
export const Settings = Type.Record(Type.String(), Type.Unknown(), { description: 'Option values, nested by path' });
export type Settings = Static<typeof Settings>;

/** Seconds are bounded to a week: longer waits are a policy mistake. */
const waitSeconds = (description: string, defaultSeconds: number) =>
  Type.Integer({ minimum: 0, maximum: 604_800, default: defaultSeconds, description });

/** Hosts that match every given key (tags: all of them). An empty selector matches nothing and is refused. */
export const HostSelector = Type.Object(
  {
    tags: Type.Optional(
      Type.Array(Tag, { minItems: 1, maxItems: 64, description: 'Hosts that carry all of these tags' }),
    ),
    sites: Type.Optional(
      Type.Array(SiteId, { minItems: 1, maxItems: 1000, description: 'Hosts at one of these sites' }),
    ),
    roles: Type.Optional(
      Type.Array(Type.String(), { minItems: 1, maxItems: 64, description: 'Hosts with one of these roles' }),
    ),
    hosts: Type.Optional(Type.Array(HostId, { minItems: 1, maxItems: 10_000, description: 'These hosts' })),
  },
  { additionalProperties: false, minProperties: 1, description: 'Which hosts' },
);
export type HostSelector = Static<typeof HostSelector>;

/** A count of hosts, or a share of the rollout's hosts, rounded up: `1`, `25%`. */
export const HostShare = Type.Union(
  [Type.Integer({ minimum: 1, maximum: 1_000_000 }), Type.String({ pattern: '^(100|[1-9]?[0-9])%$' })],
  {
    description: 'A count of hosts or a percentage of the hosts of the rollout',
  },
);
export type HostShare = Static<typeof HostShare>;

/** How a release reaches the hosts of a channel. */
export const RolloutPolicy = Type.Object(
  {
    waves: Type.Array(
      Type.Object(
        {
          select: Type.Optional(HostSelector),
          size: Type.Optional(HostShare),
        },
        {
          additionalProperties: false,
          description:
            'Hosts that match `select` (all if absent), up to `size` of them; a host belongs to the first wave that takes it',
        },
      ),
      { minItems: 1, maxItems: 100, description: 'Waves in order; hosts that none of them takes form a last wave' },
    ),
    soakSeconds: waitSeconds('How long a wave must stay healthy before the next one starts', 0),
    healthTimeoutSeconds: waitSeconds(
      'How long a host may take from dispatch to confirmation before its attempt fails',
      300,
    ),
    confirmDeadlineSeconds: waitSeconds(
      'How long the agent itself waits for health after activation before it returns to the last confirmed closure',
      120,
    ),
    failureThreshold: Type.Union(
      [Type.Integer({ minimum: 0, maximum: 1_000_000 }), Type.String({ pattern: '^(100|[1-9]?[0-9])%$' })],
      {
        default: 0,
        description: 'How many hosts of a wave may fail before the rollout stops: a count, or a percentage of the wave',
      },
    ),
    onFailure: Type.Union([Type.Literal('pause'), Type.Literal('halt'), Type.Literal('revert')], {
      default: 'pause',
      description:
        'pause: stop dispatching and wait for a person. halt: end as failed. revert: return the hosts of the failed wave to their last confirmed closure, then end as failed',
    }),
  },
  { additionalProperties: false, description: 'Rollout policy of a channel' },
);
export type RolloutPolicy = Static<typeof RolloutPolicy>;

export const ChannelDefinition = Type.Object(
  { description: Type.Optional(Type.String({ maxLength: 1000 })), rollout: Type.Partial(RolloutPolicy) },
  {
    additionalProperties: false,
    description: 'A channel: hosts follow it, releases are rolled out to it by its policy',
  },
);

export const SiteDefinition = Type.Object(
  {
    description: Type.Optional(Type.String({ maxLength: 1000 })),
    hostSpec: Type.Optional(Settings),
    settings: Type.Optional(Settings),
  },
  { additionalProperties: false, description: 'A site: where hosts stand' },
);

export const GroupDefinition = Type.Object(
  {
    description: Type.Optional(Type.String({ maxLength: 1000 })),
    select: HostSelector,
    hostSpec: Type.Optional(Settings),
    settings: Type.Optional(Settings),
  },
  { additionalProperties: false, description: 'Settings for the hosts that a selector matches' },
);

export const HostDefinition = Type.Object(
  {
    site: SiteId,
    platform: System,
    role: Type.Optional(Type.String({ description: 'server, workstation, endpoint, microvm-guest' })),
    scopes: Type.Optional(Type.Array(Type.String(), { maxItems: 100, description: 'Scopes beside those of the role' })),
    tags: Type.Optional(Type.Array(Tag, { maxItems: 64 })),
    channel: Type.Optional(ChannelName),
    hostSpec: Type.Optional(Settings),
    settings: Type.Optional(Settings),
    stateVersion: Type.Optional(Type.String({ pattern: '^[0-9]{2}\\.[0-9]{2}$', description: 'system.stateVersion' })),
  },
  { additionalProperties: false, description: 'A host' },
);
export type HostDefinition = Static<typeof HostDefinition>;

export const FleetDefinition = Type.Object(
  {
    fleet: FleetName,
    description: Type.Optional(Type.String({ maxLength: 1000 })),
    sites: Type.Record(SiteId, SiteDefinition, { description: 'Sites by name' }),
    channels: Type.Record(ChannelName, ChannelDefinition, { description: 'Channels by name' }),
    defaultChannel: Type.Optional(ChannelName),
    groups: Type.Optional(Type.Record(Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' }), GroupDefinition)),
    hostSpec: Type.Optional(Settings),
    settings: Type.Optional(Settings),
    hosts: Type.Optional(
      Type.Record(HostId, HostDefinition, {
        description: 'Hosts by name; each may have a file hosts/<name>.yaml instead',
      }),
    ),
  },
  { additionalProperties: false, description: 'A fleet' },
);
export type FleetDefinition = Static<typeof FleetDefinition>;

export const ScopeDefinition = Type.Object(
  {
    scope: Type.String({
      pattern: '^[a-z][a-zA-Z0-9-]*(\\.[a-z][a-zA-Z0-9-]*)*$',
      description: 'Name of the scope, also the name that hosts import',
    }),
    description: Type.String({ maxLength: 4000 }),
    options: Type.Record(
      Type.String(),
      Type.Object(
        {
          type: Type.String({ description: 'As Nix writes it: bool, listOf str, nullOr (enum ["a" "b"])' }),
          default: Type.Optional(Type.Unknown()),
          description: Type.Optional(Type.String({ maxLength: 4000 })),
          example: Type.Optional(Type.Unknown()),
        },
        { additionalProperties: false },
      ),
      { description: 'Options by full path' },
    ),
    when: Type.Optional(Type.String({ description: 'Path of a bool option; the settings apply where it is true' })),
    settings: Type.Optional(Settings),
  },
  { additionalProperties: false, description: 'A fleet-local scope' },
);
export type ScopeDefinition = Static<typeof ScopeDefinition>;
