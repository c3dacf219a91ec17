import { type Static, Type } from 'typebox';
import { HostId, SiteId, StorePath, Timestamp, Uuid } from './ids.ts';

/** Steps of an attempt in the order an agent passes them; the last four end it. */
export const attemptSteps = [
  'accepted',
  'fetching',
  'activating',
  'verifying',
  'confirmed',
  'reverted',
  'refused',
  'failed',
] as const;
export const AttemptStep = Type.Enum(attemptSteps);
export type AttemptStep = Static<typeof AttemptStep>;

/** Why an agent refused an intent, or why an attempt failed or was reverted. */
export const attemptReasons = [
  'invalid_intent',
  'invalid_signature',
  'unknown_key',
  'wrong_host',
  'wrong_fleet',
  'expired',
  'clock_skew',
  'old_sequence',
  'closure_mismatch',
  'untrusted_path',
  'corrupt_nar',
  'closure_unavailable',
  'foreign_root',
  'window_closed',
  'nothing_to_return_to',
  'activation_failed',
  'health_failed',
  'confirm_deadline',
  'return_requested',
  'storage_full',
  'interrupted',
  'internal',
] as const;
export const AttemptReason = Type.Enum(attemptReasons);
export type AttemptReason = Static<typeof AttemptReason>;

export const CheckResult = Type.Object(
  {
    kind: Type.Union([Type.Literal('unit'), Type.Literal('http'), Type.Literal('command')]),
    name: Type.String({ maxLength: 300 }),
    healthy: Type.Boolean(),
    detail: Type.String({ maxLength: 1000 }),
  },
  { additionalProperties: false },
);
export type CheckResult = Static<typeof CheckResult>;

/** `nixfleet.agent.report.v1.<site>.<host>`: one step of one attempt. (attempt, sequence) orders reports. */
export const AgentReport = Type.Object(
  {
    version: Type.Literal(1),
    host: HostId,
    site: SiteId,
    attempt: Uuid,
    /** 1-based, rises within an attempt, also over restarts of the agent. */
    sequence: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
    step: AttemptStep,
    time: Timestamp,
    bootId: Uuid,
    agentVersion: Type.String({ maxLength: 64 }),
    /** What the host runs now; absent before its first activation. */
    toplevel: Type.Optional(StorePath),
    generation: Type.Optional(Type.Integer({ minimum: 0 })),
    reason: Type.Optional(AttemptReason),
    detail: Type.Optional(Type.String({ maxLength: 2000 })),
    checks: Type.Optional(Type.Array(CheckResult, { maxItems: 100 })),
  },
  { additionalProperties: false },
);
export type AgentReport = Static<typeof AgentReport>;

/** `nixfleet.agent.heartbeat.v1.<site>.<host>`: plain, unstored. */
export const Heartbeat = Type.Object(
  {
    version: Type.Literal(1),
    host: HostId,
    site: SiteId,
    time: Timestamp,
    bootId: Uuid,
    agentVersion: Type.String({ maxLength: 64 }),
    toplevel: Type.Optional(StorePath),
    generation: Type.Optional(Type.Integer({ minimum: 0 })),
    /** Attempt that is under way, if any. */
    attempt: Type.Optional(Uuid),
    /** Seconds until the next heartbeat is due: liveness is judged by it. */
    intervalSeconds: Type.Integer({ minimum: 1, maximum: 3600 }),
  },
  { additionalProperties: false },
);
export type Heartbeat = Static<typeof Heartbeat>;

/** Health checks as a closure carries them in `nixfleet/health.json`. Seconds throughout. */
export const HealthChecks = Type.Object(
  {
    systemd: Type.Array(
      Type.Object(
        { units: Type.Array(Type.String({ maxLength: 256 }), { maxItems: 100 }) },
        { additionalProperties: false },
      ),
      { maxItems: 100 },
    ),
    http: Type.Array(
      Type.Object(
        {
          url: Type.String({ maxLength: 2048 }),
          interval: Type.Integer({ minimum: 1, maximum: 3600 }),
          timeout: Type.Integer({ minimum: 1, maximum: 600 }),
          expectedStatus: Type.Integer({ minimum: 100, maximum: 599 }),
        },
        { additionalProperties: false },
      ),
      { maxItems: 100 },
    ),
    command: Type.Array(
      Type.Object(
        {
          name: Type.String({ maxLength: 256 }),
          command: Type.String({ maxLength: 8192 }),
          interval: Type.Integer({ minimum: 1, maximum: 3600 }),
          timeout: Type.Integer({ minimum: 1, maximum: 600 }),
        },
        { additionalProperties: false },
      ),
      { maxItems: 100 },
    ),
  },
  { additionalProperties: false, description: 'services.nixfleet-agent.healthChecks of the host' },
);
export type HealthChecks = Static<typeof HealthChecks>;
