import { didYouMean, type Origin } from '@nixfleet/modules';
import {
  type Diagnostic,
  FleetDefinition,
  FleetError,
  type FleetFile,
  HostDefinition,
  HostId,
  type RolloutPolicy,
  RolloutPolicy as RolloutPolicySchema,
  ScopeDefinition,
} from '@nixfleet/schema';
import { platformOf, roleNames, type Scope, scopeNames } from '@nixfleet/scopes';
import { Value } from 'typebox/value';
import { checkFile } from './check-file.ts';
import { makeCustomScope } from './custom-scope.ts';
import { readYamlFile, type YamlFile } from './yaml-file.ts';

/** A host of the definition and where its keys stand. */
export interface LoadedHost {
  readonly name: string;
  readonly definition: HostDefinition;
  /** The file, and the object in it, that hold the host. */
  readonly file: YamlFile;
  readonly channel?: string;
}

/** A fleet definition that is well-formed: every name it uses exists. Values are not evaluated yet. */
export interface LoadedFleet {
  readonly files: readonly FleetFile[];
  readonly file: YamlFile;
  readonly definition: FleetDefinition;
  readonly hosts: readonly LoadedHost[];
  readonly scopes: readonly Scope[];
  readonly channels: Readonly<Record<string, RolloutPolicy>>;
}

/** Where a layer's values come from, for messages and `explain`. */
export const originOf = (label: string, file: YamlFile): Origin => ({ label, file: file.path, locate: file.locate });

export const invalidFleet = (diagnostics: readonly Diagnostic[]): FleetError => {
  const errors = diagnostics.filter((d) => d.severity === 'error').length;
  return new FleetError('invalid_fleet', `the fleet definition has ${errors} ${errors === 1 ? 'error' : 'errors'}`, {
    diagnostics,
  });
};

const isYaml = (path: string): boolean => /\.(ya?ml|json)$/.test(path);

class Loader {
  readonly #files: readonly FleetFile[];
  readonly diagnostics: Diagnostic[] = [];
  /** Scopes whose files have mistakes of their own: that hosts name them is no further mistake. */
  readonly #brokenScopes: string[] = [];

  constructor(files: readonly FleetFile[]) {
    this.#files = files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  }

  load(): LoadedFleet | undefined {
    const rootFiles = this.#files.filter((file) => /^fleet\.(ya?ml|json)$/.test(file.path));
    if (rootFiles.length !== 1) {
      const found = rootFiles.map((file) => file.path).join(', ') || 'none of them';
      this.#report({ message: 'a fleet has one fleet.yaml in its directory', expected: 'fleet.yaml', found });
      return undefined;
    }
    const file = this.#read(rootFiles[0] as FleetFile);
    const scopes = this.#inFolder('scopes').flatMap((scopeFile) => this.#loadScope(scopeFile));
    const checked = file === undefined ? undefined : this.#check(file, FleetDefinition);
    const hostFiles = this.#inFolder('hosts').flatMap((hostFile) => this.#loadHostFile(hostFile));
    if (file === undefined || checked === undefined) return undefined;
    const inline = Object.entries(checked.hosts ?? {}).map(([name, definition]) => ({ name, definition, file }));
    const hosts = this.#uniqueHosts([...inline, ...hostFiles], checked);
    this.#checkNames(checked, file, hosts, scopes);
    const channels = this.#policies(checked, file);
    return { files: this.#files, file, definition: checked, hosts, scopes, channels };
  }

  #report(diagnostic: Omit<Diagnostic, 'severity'>): void {
    this.diagnostics.push({ severity: 'error', ...diagnostic });
  }

  #inFolder(folder: string): FleetFile[] {
    return this.#files.filter((file) => file.path.startsWith(`${folder}/`) && isYaml(file.path));
  }

  #read({ path, content }: FleetFile): YamlFile | undefined {
    const { file, diagnostics } = readYamlFile(path, content);
    this.diagnostics.push(...diagnostics);
    return file;
  }

  #check<Schema extends typeof FleetDefinition | typeof HostDefinition | typeof ScopeDefinition>(
    file: YamlFile,
    schema: Schema,
  ): ReturnType<typeof checkFile<Schema>>['value'] {
    const { value, diagnostics } = checkFile(file, schema);
    this.diagnostics.push(...diagnostics);
    return value;
  }

  #loadScope(source: FleetFile): Scope[] {
    const file = this.#read(source);
    const definition = file === undefined ? undefined : this.#check(file, ScopeDefinition);
    if (file === undefined || definition === undefined) return this.#brokenScope(file?.value);
    const { scope, diagnostics } = makeCustomScope(file, definition);
    this.diagnostics.push(...diagnostics);
    return scope === undefined ? this.#brokenScope(definition) : [scope];
  }

  #brokenScope(definition: unknown): [] {
    const name = (definition as { scope?: unknown } | null | undefined)?.scope;
    if (typeof name === 'string') this.#brokenScopes.push(name);
    return [];
  }

  #loadHostFile(source: FleetFile): Omit<LoadedHost, 'channel'>[] {
    const name = source.path.replace(/^.*\//, '').replace(/\.[a-z]+$/, '');
    if (!Value.Check(HostId, name)) {
      this.#report({
        file: source.path,
        message: 'the file name is no host name',
        expected: 'a-z, 0-9 and dashes, at most 63 characters',
        found: name,
      });
      return [];
    }
    const file = this.#read(source);
    const definition = file === undefined ? undefined : this.#check(file, HostDefinition);
    return file === undefined || definition === undefined ? [] : [{ name, definition, file }];
  }

  #uniqueHosts(hosts: readonly Omit<LoadedHost, 'channel'>[], fleet: FleetDefinition): LoadedHost[] {
    const byName = new Map<string, LoadedHost>();
    for (const host of hosts) {
      const other = byName.get(host.name);
      if (other !== undefined) {
        this.#report({
          file: host.file.path,
          line: 1,
          host: host.name,
          message: `host ${host.name} is defined twice: in ${other.file.path} and in ${host.file.path}`,
        });
      }
      const channel = host.definition.channel ?? fleet.defaultChannel;
      byName.set(host.name, { ...host, ...(channel === undefined ? {} : { channel }) });
    }
    return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #checkNames(fleet: FleetDefinition, file: YamlFile, hosts: readonly LoadedHost[], custom: readonly Scope[]): void {
    const sites = Object.keys(fleet.sites);
    const channels = Object.keys(fleet.channels);
    const seen = new Set<string>();
    for (const scope of custom) {
      if (seen.has(scope.name) || scopeNames('nixos', []).includes(scope.name))
        this.#report({
          ...(scope.module.origin.file === undefined ? {} : { file: scope.module.origin.file }),
          line: 1,
          message: `there is a scope ${scope.name} already`,
        });
      seen.add(scope.name);
    }
    if (fleet.defaultChannel !== undefined)
      this.#checkName('channel', fleet.defaultChannel, channels, file, fleet, 'defaultChannel');
    for (const host of hosts) {
      const { definition } = host;
      const check = (
        kind: string,
        name: string,
        known: readonly string[],
        holder: object,
        key: string | number,
      ): void => this.#checkName(kind, name, known, host.file, holder, key, host.name);
      check('site', definition.site, sites, definition, 'site');
      if (definition.role !== undefined) check('role', definition.role, roleNames, definition, 'role');
      if (definition.channel !== undefined) check('channel', definition.channel, channels, definition, 'channel');
      const known = scopeNames(platformOf(definition.platform), custom);
      const anywhere = [...new Set([...known.map((name) => name.replace(/Darwin$/, '')), ...this.#brokenScopes])];
      for (const [i, name] of (definition.scopes ?? []).entries())
        check('scope', name, anywhere, definition.scopes as object, i);
    }
  }

  #checkName(
    kind: string,
    name: string,
    known: readonly string[],
    file: YamlFile,
    holder: object,
    key: string | number,
    host?: string,
  ): void {
    if (known.includes(name)) return;
    const hint = didYouMean(name, known);
    this.#report({
      file: file.path,
      ...file.locate(holder, key),
      ...(host === undefined ? {} : { host }),
      optionPath: typeof key === 'number' ? 'scopes' : key,
      message: `unknown ${kind} ${name}`,
      expected: known.length === 0 ? `a ${kind} that fleet.yaml defines` : `one of ${known.join(', ')}`,
      found: name,
      ...(hint === undefined ? {} : { hint }),
    });
  }

  #policies(fleet: FleetDefinition, file: YamlFile): Record<string, RolloutPolicy> {
    return Object.fromEntries(
      Object.entries(fleet.channels).map(([name, { rollout }]) => {
        const policy = Value.Default(RolloutPolicySchema, { waves: [{}], ...rollout }) as RolloutPolicy;
        if (policy.healthTimeoutSeconds <= policy.confirmDeadlineSeconds)
          this.#report({
            file: file.path,
            ...(file.locate(rollout, 'healthTimeoutSeconds') ?? file.locate(fleet.channels, name)),
            optionPath: `channels.${name}.rollout.healthTimeoutSeconds`,
            message: 'the centre must wait longer for a host than the agent waits for health',
            expected: `more than confirmDeadlineSeconds (${policy.confirmDeadlineSeconds})`,
            found: String(policy.healthTimeoutSeconds),
          });
        return [name, policy];
      }),
    );
  }
}

/** Reads and checks the files of a fleet directory. Throws `invalid_fleet` with every mistake it found. */
export function loadFleetFiles(files: readonly FleetFile[]): LoadedFleet {
  const loader = new Loader(files);
  const fleet = loader.load();
  if (fleet === undefined || loader.diagnostics.some((d) => d.severity === 'error'))
    throw invalidFleet(loader.diagnostics);
  return fleet;
}
