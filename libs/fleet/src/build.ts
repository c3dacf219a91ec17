import {
  buildStoreObject,
  closureDigest,
  directory,
  type NarNode,
  regularFile,
  type StoreObject,
  symlink,
} from '@nixfleet/nix';
import {
  type DeclaredJob,
  type Diagnostic,
  type FleetFile,
  HealthChecks,
  type RolloutPolicy,
  type System,
} from '@nixfleet/schema';
import {
  commandChecks,
  httpChecks,
  platformOf,
  systemdChecks,
  systemdServices,
  systemdTimers,
  systemPackages,
  type Unit,
} from '@nixfleet/scopes';
import { Value } from 'typebox/value';
import { invalidFleet, type LoadedFleet } from './load.ts';
import { renderActivate } from './render/activate.ts';
import { renderEtc } from './render/files.ts';
import { renderLaunchDaemons } from './render/launchd.ts';
import { nodeExporterUnit } from './render/node-exporter.ts';
import { placeholderOf, renderUnit } from './render/unit-file.ts';
import { mergeDiagnostics, type ResolvedHost, resolveHost } from './resolve.ts';
import { revisionId } from './revision.ts';

/** A host and the closure that makes it. */
export interface BuiltHost {
  readonly host: string;
  readonly site: string;
  readonly platform: System;
  readonly role?: string;
  readonly channel?: string;
  readonly tags: readonly string[];
  readonly config: Readonly<Record<string, unknown>>;
  readonly configDigest: string;
  readonly jobs: readonly DeclaredJob[];
  readonly toplevel: string;
  /** SHA-256 hex over the whole closure (ADR 3). */
  readonly closureDigest: string;
  /** Every path of the closure, the toplevel last. */
  readonly paths: readonly StoreObject[];
}

export interface BuiltFleet {
  readonly fleet: string;
  /** SHA-256 hex of the files. */
  readonly revision: string;
  readonly files: readonly FleetFile[];
  readonly sites: readonly string[];
  readonly channels: Readonly<Record<string, RolloutPolicy>>;
  readonly hosts: readonly BuiltHost[];
  readonly warnings: readonly Diagnostic[];
}

const baseOf = (storePath: string): string => storePath.slice('/nix/store/'.length);
const safeName = (path: string): string =>
  path
    .replaceAll(/[^0-9a-zA-Z+._?=-]/g, '-')
    .replace(/^\.+/, '')
    .slice(0, 180);

/** Objects of one fleet by name and content: a file that many hosts share is made once. */
class ObjectPool {
  readonly #made = new Map<string, StoreObject>();

  /** A file of its own in the store. */
  file(name: string, text: string, executable: boolean, references: readonly string[] = []): StoreObject {
    const key = `${name}\0${executable}\0${references.join(' ')}\0${text}`;
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const object = buildStoreObject({ name: safeName(name), tree: regularFile(text, executable), references });
    this.#made.set(key, object);
    return object;
  }

  /** A tree whose content follows from the paths that it refers to. */
  tree(name: string, entries: Readonly<Record<string, NarNode>>, references: readonly string[]): StoreObject {
    return buildStoreObject({ name, tree: directory(entries), references });
  }
}

/** Puts nodes at slash-separated paths into nested directories. */
function nest(leaves: ReadonlyMap<string, NarNode>): Record<string, NarNode> {
  const entries: Record<string, NarNode> = {};
  const folders = new Map<string, Map<string, NarNode>>();
  for (const [path, node] of leaves) {
    const slash = path.indexOf('/');
    if (slash < 0) {
      entries[path] = node;
      continue;
    }
    const folder = path.slice(0, slash);
    const inside = folders.get(folder) ?? new Map<string, NarNode>();
    inside.set(path.slice(slash + 1), node);
    folders.set(folder, inside);
  }
  for (const [name, inside] of folders) entries[name] = directory(nest(inside));
  return entries;
}

/** Relative, so that a root which is not `/` reads the same from outside (ADR 2). */
const linkTo = (object: StoreObject, depth: number): NarNode =>
  symlink(`${'../'.repeat(depth)}${baseOf(object.storePath)}`);

function unitsOf(resolved: ResolvedHost): { kind: 'service' | 'timer'; name: string; unit: Unit }[] {
  const { evaluation } = resolved;
  const services: Readonly<Record<string, Unit>> = evaluation.getOr(systemdServices, {}) ?? {};
  const timers: Readonly<Record<string, Unit>> = evaluation.getOr(systemdTimers, {}) ?? {};
  const exporter = nodeExporterUnit(evaluation);
  const all = exporter === undefined ? services : { ...services, 'prometheus-node-exporter': exporter };
  return [
    ...Object.entries(all).map(([name, unit]) => ({ kind: 'service' as const, name, unit })),
    ...Object.entries(timers).map(([name, unit]) => ({ kind: 'timer' as const, name, unit })),
  ].filter(({ unit }) => unit.enable !== false);
}

interface EtcTree {
  readonly leaves: Map<string, NarNode>;
  readonly objects: Map<string, StoreObject>;
}

/** Adds a unit, its scripts and its links to what becomes /etc. */
function addUnit(pool: ObjectPool, tree: EtcTree, { kind, name, unit }: ReturnType<typeof unitsOf>[number]): void {
  const rendered = renderUnit(kind, name, unit);
  let { text } = rendered;
  const references: string[] = [];
  for (const script of rendered.scripts) {
    const object = pool.file(script.name, script.text, true);
    tree.objects.set(object.storePath, object);
    references.push(object.storePath);
    text = text.replaceAll(placeholderOf(script), object.storePath);
  }
  const file = `${name}.${kind}`;
  const object = pool.file(`unit-${file}`, text, false, references);
  tree.objects.set(object.storePath, object);
  tree.leaves.set(`systemd/system/${file}`, linkTo(object, 3));
  for (const target of rendered.wantedBy)
    tree.leaves.set(`systemd/system/${target}.wants/${file}`, symlink(`../${file}`));
  for (const target of rendered.requiredBy)
    tree.leaves.set(`systemd/system/${target}.requires/${file}`, symlink(`../${file}`));
}

/** launchd's checks have no intervals; the agent's file does. */
function healthChecksOf({ evaluation, loaded }: ResolvedHost): HealthChecks {
  if (platformOf(loaded.definition.platform) === 'darwin') return { systemd: [], http: [], command: [] };
  const checks = {
    systemd: evaluation.get(systemdChecks),
    http: evaluation.get(httpChecks),
    command: evaluation.get(commandChecks),
  };
  const plain: unknown = JSON.parse(JSON.stringify(checks));
  if (Value.Check(HealthChecks, plain)) return plain;
  const [first] = Value.Errors(HealthChecks, plain);
  throw invalidFleet([
    {
      severity: 'error',
      file: loaded.file.path,
      host: loaded.name,
      optionPath: `services.nixfleet-agent.healthChecks${(first?.instancePath ?? '').replaceAll('/', '.')}`,
      message: first?.message ?? 'these are no health checks',
    },
  ]);
}

function factsOf({ loaded, evaluation, configDigest }: ResolvedHost): string {
  const { site, platform, role, scopes = [], tags = [] } = loaded.definition;
  const packages = [...new Set((evaluation.getOr(systemPackages, []) ?? []).map((p) => p.name))].sort();
  const facts = { host: loaded.name, site, platform, role: role ?? null, scopes, tags, configDigest, packages };
  return `${JSON.stringify(facts, undefined, 2)}\n`;
}

/** Renders a host's files and makes store objects of them. */
function buildClosure(pool: ObjectPool, resolved: ResolvedHost): { toplevel: StoreObject; paths: StoreObject[] } {
  const { name, definition } = resolved.loaded;
  const platform = platformOf(definition.platform);
  const tree: EtcTree = { leaves: new Map(), objects: new Map() };
  const files = renderEtc(platform, resolved.evaluation);
  for (const file of files) {
    const object = pool.file(`etc-${file.path.split('/').at(-1) ?? 'file'}`, file.text, false);
    tree.objects.set(object.storePath, object);
    tree.leaves.set(file.path, linkTo(object, file.path.split('/').length));
  }
  const top = new Map<string, NarNode>();
  if (platform === 'nixos') for (const unit of unitsOf(resolved)) addUnit(pool, tree, unit);
  else
    for (const { name: plist, text } of renderLaunchDaemons(resolved.evaluation)) {
      const object = pool.file(plist, text, false);
      tree.objects.set(object.storePath, object);
      top.set(`Library/LaunchDaemons/${plist}`, linkTo(object, 3));
    }
  const inEtc = [...tree.leaves.keys()].map((path) => files.find((file) => file.path === path) ?? { path, text: '' });
  const etcObject = pool.tree('etc', nest(tree.leaves), [...tree.objects.keys()]);
  top.set('activate', regularFile(renderActivate(inEtc), true));
  top.set('etc', linkTo(etcObject, 1));
  top.set('nixfleet-native', regularFile(''));
  top.set('nixfleet/health.json', regularFile(`${JSON.stringify(healthChecksOf(resolved), undefined, 2)}\n`));
  top.set('nixfleet/host.json', regularFile(factsOf(resolved)));
  const references = [etcObject.storePath, ...(platform === 'darwin' ? tree.objects.keys() : [])];
  const toplevel = pool.tree(`nixfleet-system-${name}`, nest(top), references);
  return { toplevel, paths: [...tree.objects.values(), etcObject, toplevel] };
}

function buildHost(pool: ObjectPool, resolved: ResolvedHost): BuiltHost {
  const { toplevel, paths } = buildClosure(pool, resolved);
  const { name, definition, channel } = resolved.loaded;
  return {
    host: name,
    site: definition.site,
    platform: definition.platform,
    ...(definition.role === undefined ? {} : { role: definition.role }),
    ...(channel === undefined ? {} : { channel }),
    tags: definition.tags ?? [],
    config: resolved.config,
    configDigest: resolved.configDigest,
    jobs: resolved.jobs,
    toplevel: toplevel.storePath,
    closureDigest: closureDigest(paths),
    paths,
  };
}

/** Runs a computation of many small steps without a pause. */
function finish<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

function* resolveInSteps(fleet: LoadedFleet): Generator<void, { hosts: ResolvedHost[]; warnings: Diagnostic[] }> {
  const hosts: ResolvedHost[] = [];
  const found: Diagnostic[] = [];
  for (const loaded of fleet.hosts) {
    const { host, diagnostics } = resolveHost(fleet, loaded);
    if (host !== undefined) hosts.push(host);
    found.push(...diagnostics);
    yield;
  }
  const diagnostics = mergeDiagnostics(found);
  if (diagnostics.some((d) => d.severity === 'error')) throw invalidFleet(diagnostics);
  return { hosts, warnings: diagnostics };
}

/**
 * Every host's closure, a step a host and pass: who serves others meanwhile pauses between steps. The same files give the
 * same closures on every machine. Throws `invalid_fleet` with every mistake of every host.
 */
export function* buildFleetInSteps(fleet: LoadedFleet): Generator<void, BuiltFleet> {
  const { hosts: resolved, warnings } = yield* resolveInSteps(fleet);
  const pool = new ObjectPool();
  const hosts: BuiltHost[] = [];
  for (const host of resolved) {
    hosts.push(buildHost(pool, host));
    yield;
  }
  return {
    fleet: fleet.definition.fleet,
    revision: revisionId(fleet.files),
    files: fleet.files,
    sites: Object.keys(fleet.definition.sites),
    channels: fleet.channels,
    hosts,
    warnings,
  };
}

/** {@link buildFleetInSteps} at once. */
export const buildFleet = (fleet: LoadedFleet): BuiltFleet => finish(buildFleetInSteps(fleet));
