import { bool, type Config, declareOption, listOf, mkIf, port, str } from '@nixfleet/modules';
import { defineScope } from './scope.ts';

const option = 'nixfleet.monitoring.nodeExporter';

export const enable = declareOption(`${option}.enable`, bool, {
  description: 'Whether the Prometheus node exporter runs',
  default: false,
  example: true,
});
export const openFirewall = declareOption(`${option}.openFirewall`, bool, {
  description: 'Whether the firewall lets scrapers in',
  default: false,
});
export const exporterPort = declareOption(`${option}.port`, port, {
  description: 'Port of the exporter',
  default: 9100,
});
export const enabledCollectors = declareOption(`${option}.enabledCollectors`, listOf(str), {
  description: 'Collectors to switch on',
  default: ['systemd', 'filesystem', 'cpu', 'meminfo', 'netdev', 'diskstats', 'loadavg', 'pressure', 'time'],
});
export const disabledCollectors = declareOption(`${option}.disabledCollectors`, listOf(str), {
  description: 'Collectors to switch off',
  default: ['textfile', 'wifi', 'infiniband', 'nfs', 'zfs'],
});

export const monitoring = defineScope({
  name: 'monitoring',
  description: 'Prometheus node exporter with collectors fit for fleets',
  platforms: ['nixos'],
  options: [enable, openFirewall, exporterPort, enabledCollectors, disabledCollectors],
  when: enable,
  config: {
    services: {
      prometheus: {
        exporters: {
          node: {
            enable: true,
            port: (c: Config) => c.get(exporterPort),
            enabledCollectors: (c: Config) => c.get(enabledCollectors),
            disabledCollectors: (c: Config) => c.get(disabledCollectors),
          },
        },
      },
    },
    networking: { firewall: { allowedTCPPorts: mkIf(openFirewall, (c: Config) => [c.get(exporterPort)]) } },
  },
});
