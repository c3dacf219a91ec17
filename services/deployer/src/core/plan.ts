import { FleetError, type HostSelector, type RolloutPolicy } from '@nixfleet/schema';

/** What planning knows of a host. */
export interface PlanHost {
  readonly host: string;
  readonly site: string;
  readonly role?: string;
  readonly tags: readonly string[];
}

export interface PlannedTarget {
  readonly host: string;
  readonly site: string;
  /** 0-based. */
  readonly wave: number;
}

export const defaultPolicy: RolloutPolicy = {
  waves: [{ size: 1 }, {}],
  soakSeconds: 0,
  healthTimeoutSeconds: 300,
  confirmDeadlineSeconds: 120,
  failureThreshold: 0,
  onFailure: 'pause',
};

/** A count, or a percentage of `of`, rounded up. */
export function shareOf(share: number | string, of: number): number {
  return typeof share === 'number' ? share : Math.ceil((Number.parseInt(share, 10) / 100) * of);
}

export function matches(select: HostSelector, host: PlanHost): boolean {
  return (
    (select.tags === undefined || select.tags.every((tag) => host.tags.includes(tag))) &&
    (select.sites === undefined || select.sites.includes(host.site)) &&
    (select.roles === undefined || (host.role !== undefined && select.roles.includes(host.role))) &&
    (select.hosts === undefined || select.hosts.includes(host.host))
  );
}

/**
 * Puts every host in one wave. The plan is frozen with the rollout: retagging a host changes no open rollout. Waves that
 * take nobody are dropped and the rest close up; hosts that no wave takes form a last one.
 */
export function planWaves(policy: RolloutPolicy, hosts: readonly PlanHost[]): PlannedTarget[] {
  if (hosts.length === 0)
    throw new FleetError('invalid_input', 'the rollout has no hosts: no host of the release matches');
  const rest = new Map(hosts.toSorted((a, b) => (a.host < b.host ? -1 : 1)).map((host) => [host.host, host]));
  const targets: PlannedTarget[] = [];
  let wave = 0;
  const take = (members: readonly PlanHost[]): void => {
    if (members.length === 0) return;
    for (const { host, site } of members) {
      targets.push({ host, site, wave });
      rest.delete(host);
    }
    wave += 1;
  };
  for (const { select, size } of policy.waves) {
    const matching = [...rest.values()].filter((host) => select === undefined || matches(select, host));
    take(size === undefined ? matching : matching.slice(0, shareOf(size, hosts.length)));
  }
  take([...rest.values()]);
  return targets;
}
