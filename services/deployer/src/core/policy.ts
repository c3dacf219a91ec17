import { FleetError, type RolloutPolicy } from '@nixfleet/schema';
import { defaultPolicy } from './plan.ts';

/** The channel's policy over our defaults, the request's over both. A policy that can never finish is refused. */
export function completePolicy(channel: Partial<RolloutPolicy>, request: Partial<RolloutPolicy> = {}): RolloutPolicy {
  const policy = { ...defaultPolicy, ...channel, ...request };
  if (policy.healthTimeoutSeconds <= policy.confirmDeadlineSeconds) {
    throw new FleetError(
      'invalid_input',
      `healthTimeoutSeconds (${policy.healthTimeoutSeconds}) must be above confirmDeadlineSeconds (${policy.confirmDeadlineSeconds}): else every host would be given up before its agent may return by itself`,
    );
  }
  return policy;
}
