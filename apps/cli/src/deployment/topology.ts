import type { ServiceName } from '@nixfleet/schema';

/** Ports of docker-compose.yml, inside and on 127.0.0.1. */
export const ports = { resolver: 7401, deployer: 7402, cache: 7403, telemetry: 7404 } as const satisfies Record<
  ServiceName,
  number
>;

export const deployerGrpcPort = 7407;

/** Names of docker-compose.yml. */
export const serviceHosts = {
  resolver: 'config-resolver',
  deployer: 'deployer',
  cache: 'cache-indexer',
  telemetry: 'telemetry',
  nats: 'nats',
} as const satisfies Record<ServiceName | 'nats', string>;

/** Scrapes the four services, itself and VictoriaMetrics, which keeps what is scraped. */
export function formatPrometheusConfig(fleet: string): string {
  const targets = [
    ...(Object.keys(ports) as ServiceName[]).map((service) => ({
      job: serviceHosts[service],
      target: `${serviceHosts[service]}:${ports[service]}`,
    })),
    { job: 'prometheus', target: '127.0.0.1:9090' },
    { job: 'victoria-metrics', target: 'victoria-metrics:8428' },
  ];
  const jobs = targets.map(
    ({ job, target }) => `  - job_name: ${job}
    static_configs:
      - targets: ["${target}"]`,
  );
  return `global:
  scrape_interval: 15s
  external_labels:
    fleet: ${fleet}
remote_write:
  - url: http://victoria-metrics:8428/api/v1/write
scrape_configs:
${jobs.join('\n')}
`;
}
