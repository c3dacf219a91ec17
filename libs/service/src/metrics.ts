import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** Metrics that every service has; its own go into the same registry. Labels are bounded: no host, no store path. */
export interface ServiceMetrics {
  readonly registry: Registry;
  readonly httpDuration: Histogram<'method' | 'route' | 'status'>;
  readonly messages: Counter<'consumer' | 'outcome'>;
  readonly deadLetters: Counter<'consumer'>;
  readonly outboxPending: Gauge;
  readonly outboxSent: Counter;
}

/** Gauges of the library whose names end like counters': promtool refuses them. */
const mislabelled = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

/** `name` is the service's short one: `deployer`, `telemetry`. Metrics are `nixfleet_<name>_…`. */
export function createMetrics(name: string): ServiceMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const metric of mislabelled) registry.removeSingleMetric(metric);
  const registers = [registry];
  const prefix = `nixfleet_${name}`;
  return {
    registry,
    httpDuration: new Histogram({
      name: `${prefix}_http_request_duration_seconds`,
      help: 'Time from a request to its answer, by route pattern.',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
      registers,
    }),
    messages: new Counter({
      name: `${prefix}_messages_total`,
      help: 'Messages handled, by consumer and outcome.',
      labelNames: ['consumer', 'outcome'],
      registers,
    }),
    deadLetters: new Counter({
      name: `${prefix}_dead_letters_total`,
      help: 'Messages put aside because they could not be handled.',
      labelNames: ['consumer'],
      registers,
    }),
    outboxPending: new Gauge({
      name: `${prefix}_outbox_pending_messages`,
      help: 'Messages seen waiting in the outbox by the last look.',
      registers,
    }),
    outboxSent: new Counter({
      name: `${prefix}_outbox_sent_total`,
      help: 'Messages of the outbox that the stream has stored.',
      registers,
    }),
  };
}
