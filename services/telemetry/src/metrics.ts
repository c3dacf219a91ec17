import type { ServiceMetrics } from '@nixfleet/service';
import { Counter } from 'prom-client';

/** Every metric that is telemetry's own. */
export interface TelemetryMetrics {
  readonly heartbeats: Counter<'outcome'>;
  readonly pings: Counter<'kind'>;
}

export function createTelemetryMetrics({ registry }: ServiceMetrics): TelemetryMetrics {
  const registers = [registry];
  return {
    heartbeats: new Counter({
      name: 'nixfleet_telemetry_heartbeats_total',
      help: 'Heartbeats received, by outcome.',
      labelNames: ['outcome'],
      registers,
    }),
    pings: new Counter({
      name: 'nixfleet_telemetry_pings_total',
      help: 'Backup pings stored, by kind.',
      labelNames: ['kind'],
      registers,
    }),
  };
}
