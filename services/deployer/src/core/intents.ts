import type { BeIntent, ReturnIntent, RolloutPolicy, SignedStatement } from '@nixfleet/schema';

export interface IntentTarget {
  readonly host: string;
  readonly site: string;
  readonly attempt: string;
  readonly intentSequence: number;
}

export interface RolloutIdentity {
  readonly fleet: string;
  readonly rollout: string;
  readonly traceId: string;
}

const maxWindowSeconds = 86_400;

/** After its own confirmation a host may be asked back while others of its wave can still fail, and while they soak. */
export const returnWindowSeconds = (policy: RolloutPolicy): number =>
  Math.min(maxWindowSeconds, policy.soakSeconds + policy.healthTimeoutSeconds);

export function beIntent(
  rollout: RolloutIdentity,
  target: IntentTarget,
  signed: SignedStatement,
  policy: RolloutPolicy,
  cacheUrls: readonly string[],
): BeIntent {
  return {
    version: 1,
    fleet: rollout.fleet,
    site: target.site,
    host: target.host,
    intentSequence: target.intentSequence,
    attempt: target.attempt,
    rollout: rollout.rollout,
    traceId: rollout.traceId,
    verb: 'be',
    signed,
    cacheUrls: [...cacheUrls],
    confirmDeadlineSeconds: Math.max(1, Math.min(maxWindowSeconds, policy.confirmDeadlineSeconds)),
    soakSeconds: returnWindowSeconds(policy),
  };
}

export function returnIntent(rollout: RolloutIdentity, target: IntentTarget, ofAttempt: string): ReturnIntent {
  return {
    version: 1,
    fleet: rollout.fleet,
    site: target.site,
    host: target.host,
    intentSequence: target.intentSequence,
    attempt: target.attempt,
    rollout: rollout.rollout,
    traceId: rollout.traceId,
    verb: 'return',
    ofAttempt,
  };
}
