import { type Static, Type } from 'typebox';

/** A DNS label in lower case: host and site ids are NATS subject tokens, so nothing else is allowed. */
const labelPattern = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$';

export const HostId = Type.String({
  pattern: labelPattern,
  maxLength: 63,
  description: 'Host name: a-z, 0-9 and dashes, at most 63 characters',
});
export const SiteId = Type.String({
  pattern: labelPattern,
  maxLength: 63,
  description: 'Site name: a-z, 0-9 and dashes, at most 63 characters',
});
export const FleetName = Type.String({
  pattern: labelPattern,
  maxLength: 63,
  description: 'Fleet name: a-z, 0-9 and dashes, at most 63 characters',
});
export const ChannelName = Type.String({
  pattern: labelPattern,
  maxLength: 63,
  description: 'Channel name: a-z, 0-9 and dashes, at most 63 characters',
});
export const Tag = Type.String({
  pattern: '^[a-z0-9][a-z0-9_.:-]{0,62}$',
  description: 'Tag: a-z, 0-9, dash, underscore, dot, colon',
});

/** `/nix/store/<32 characters of nix32>-<name>`; nix32 lacks e, o, t and u. */
export const StorePath = Type.String({
  pattern: '^/nix/store/[0-9a-df-np-sv-z]{32}-[0-9a-zA-Z+._?=-]{1,211}$',
  maxLength: 256,
  description: 'Nix store path',
});
export const Sha256Hex = Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256 in lower-case hex' });
export const Uuid = Type.String({
  pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$',
  description: 'UUID, lower case',
});
/** RFC 3339 in UTC, second or millisecond precision. */
export const Timestamp = Type.String({
  pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,6})?Z$',
  description: 'RFC 3339 time in UTC',
});

/** The systems that hosts may have, in Nix's words. */
export const systems = ['x86_64-linux', 'aarch64-linux', 'x86_64-darwin', 'aarch64-darwin'] as const;
export const System = Type.Enum(systems, { description: 'Nix system double' });
export type System = Static<typeof System>;
