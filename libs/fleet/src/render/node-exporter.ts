import type { Evaluation } from '@nixfleet/modules';
import type { Unit } from '@nixfleet/scopes';

interface NodeExporter {
  readonly enable?: boolean;
  readonly port?: number;
  readonly enabledCollectors?: readonly string[];
  readonly disabledCollectors?: readonly string[];
}

/** The unit that NixOS would make of `services.prometheus.exporters.node`. */
export function nodeExporterUnit(evaluation: Evaluation): Unit | undefined {
  const exporter = evaluation.read('services.prometheus.exporters.node') as NodeExporter | undefined;
  if (exporter?.enable !== true) return undefined;
  const flags = [
    ...(exporter.enabledCollectors ?? []).map((name) => `--collector.${name}`),
    ...(exporter.disabledCollectors ?? []).map((name) => `--no-collector.${name}`),
    `--web.listen-address=0.0.0.0:${exporter.port ?? 9100}`,
  ];
  return {
    description: 'Prometheus node exporter',
    after: ['network.target'],
    wantedBy: ['multi-user.target'],
    serviceConfig: {
      ExecStart: ['/nix/store/prometheus-node-exporter/bin/node_exporter', ...flags].join(' '),
      DynamicUser: true,
      NoNewPrivileges: true,
      ProtectSystem: 'strict',
      Restart: 'always',
    },
  };
}
