import type { ServiceMetrics } from '@nixfleet/service';
import { Counter, Gauge, Histogram } from 'prom-client';

/** Every metric that is the deployer's own. */
export interface DeployerMetrics {
  readonly reports: Counter<'step'>;
  readonly openRollouts: Gauge;
  readonly reconcileDuration: Histogram;
}

export function createDeployerMetrics({ registry }: ServiceMetrics): DeployerMetrics {
  const registers = [registry];
  return {
    reports: new Counter({
      name: 'nixfleet_deployer_reports_total',
      help: 'Agent reports applied, by step.',
      labelNames: ['step'],
      registers,
    }),
    openRollouts: new Gauge({
      name: 'nixfleet_deployer_open_rollouts',
      help: 'Rollouts that are not over.',
      registers,
    }),
    reconcileDuration: new Histogram({
      name: 'nixfleet_deployer_reconcile_duration_seconds',
      help: 'Time of one round over all open rollouts.',
      buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
      registers,
    }),
  };
}
