import type { Evaluation } from '@nixfleet/modules';
import type { HostSelector } from '@nixfleet/schema';
import { evaluateHost, type Layer } from '@nixfleet/scopes';
import { type LoadedFleet, type LoadedHost, originOf } from './load.ts';

/**
 * Priorities of plain scalars by the layer they stand in: the more specific one wins without !force. All are below a
 * role's defaults (1000) in number, so a fleet's plain value replaces them. Lists and sets of all layers join.
 */
export const layerPriorities = { fleet: 950, site: 850, group: 750, host: 100 } as const;

export function matchesSelector(host: LoadedHost, selector: HostSelector): boolean {
  const { site, role, tags = [] } = host.definition;
  return (
    (selector.tags?.every((tag) => tags.includes(tag)) ?? true) &&
    (selector.sites?.includes(site) ?? true) &&
    (selector.roles === undefined || (role !== undefined && selector.roles.includes(role))) &&
    (selector.hosts?.includes(host.name) ?? true)
  );
}

interface Source {
  readonly label: string;
  readonly priority: number;
  readonly values: { readonly settings?: Record<string, unknown>; readonly hostSpec?: Record<string, unknown> };
}

/** Everything that says something about a host, the most general first. */
function sourcesOf(fleet: LoadedFleet, host: LoadedHost): (Source & { file: LoadedHost['file'] })[] {
  const { definition, file } = fleet;
  const site = definition.sites[host.definition.site];
  const groups = Object.entries(definition.groups ?? {}).filter(([, group]) => matchesSelector(host, group.select));
  return [
    { label: 'fleet', priority: layerPriorities.fleet, values: definition, file },
    ...(site === undefined
      ? []
      : [{ label: `site ${host.definition.site}`, priority: layerPriorities.site, values: site, file }]),
    ...groups.map(([name, group]) => ({
      label: `group ${name}`,
      priority: layerPriorities.group,
      values: group,
      file,
    })),
    { label: `host ${host.name}`, priority: layerPriorities.host, values: host.definition, file: host.file },
  ];
}

/** Evaluates one host of the fleet; nothing is computed before it is read. */
export function evaluateFleetHost(fleet: LoadedFleet, host: LoadedHost): Evaluation {
  const sources = sourcesOf(fleet, host);
  const layersOf = (key: 'settings' | 'hostSpec'): Layer[] =>
    sources.flatMap((source) => {
      const config = source.values[key];
      if (config === undefined) return [];
      return [{ origin: originOf(source.label, source.file), config, scalarPriority: source.priority }];
    });
  const { role, scopes = [], platform, stateVersion } = host.definition;
  return evaluateHost({
    hostName: host.name,
    system: platform,
    roles: role === undefined ? [] : [role],
    scopes,
    extraScopes: fleet.scopes,
    hostSpec: layersOf('hostSpec'),
    layers: layersOf('settings'),
    ...(stateVersion === undefined ? {} : { stateVersion }),
  });
}
