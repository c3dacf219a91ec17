import type { ServiceMetrics } from '@nixfleet/service';
import { Counter, Histogram } from 'prom-client';

/** Every metric that is config-resolver's own. */
export interface ResolverMetrics {
  readonly revisions: Counter<'outcome'>;
  readonly closures: Counter;
  readonly resolveSeconds: Histogram;
}

export function createResolverMetrics({ registry }: ServiceMetrics): ResolverMetrics {
  const registers = [registry];
  return {
    revisions: new Counter({
      name: 'nixfleet_resolver_revisions_total',
      help: 'Revisions submitted, by outcome: resolved, known (the same files were there already) or rejected.',
      labelNames: ['outcome'],
      registers,
    }),
    closures: new Counter({
      name: 'nixfleet_resolver_closures_built_total',
      help: 'Host closures whose every path cache-indexer holds.',
      registers,
    }),
    resolveSeconds: new Histogram({
      name: 'nixfleet_resolver_resolve_duration_seconds',
      help: 'Time to resolve and render every host of a revision.',
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120],
      registers,
    }),
  };
}
