import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { access, chmod, constants, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { FleetError } from '@nixfleet/schema';
import { Child, stopLeftover, waitUntil } from './child.ts';
import { formatNatsConfig } from './nats-config.ts';
import type { NatsIdentity } from './nats-identity.ts';
import { findFreePort } from './ports.ts';

const execute = promisify(execFile);
const installHint =
  'install nats-server 2.9.10 or newer so that it is on the PATH: apt install nats-server, nix profile install nixpkgs#nats-server, brew install nats-server, or https://github.com/nats-io/nats-server/releases';

async function findOnPath(name: string): Promise<string | undefined> {
  for (const dir of [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']) {
    const file = join(dir, name);
    if (
      dir !== '' &&
      (await access(file, constants.X_OK).then(
        () => true,
        () => false,
      ))
    )
      return file;
  }
  return undefined;
}

/** Fetches and unpacks Debian's package into `dir` with lists and caches of our own: needs no root, changes nothing else. */
async function unpackDebianPackage(dir: string): Promise<string> {
  const apt = join(dir, 'apt');
  await mkdir(join(apt, 'lists/partial'), { recursive: true });
  await mkdir(join(apt, 'cache/archives/partial'), { recursive: true });
  const own = [
    `Dir::State::lists=${join(apt, 'lists')}`,
    `Dir::Cache=${join(apt, 'cache')}`,
    'APT::Sandbox::User=',
    'Debug::NoLocking=1',
    'Acquire::Retries=2',
  ].flatMap((option) => ['-o', option]);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await execute('apt-get', [...own, 'update'], { cwd: apt, env, timeout: 180_000, maxBuffer: 16 * 1024 * 1024 });
  await execute('apt-get', [...own, 'download', 'nats-server'], { cwd: apt, env, timeout: 180_000 });
  const deb = (await readdir(apt)).find((name) => /^nats-server_.*\.deb$/.test(name));
  if (deb === undefined) throw new Error('apt-get download left no package');
  await execute('dpkg', ['-x', join(apt, deb), join(dir, 'nats-server')], { timeout: 60_000 });
  await rm(apt, { recursive: true, force: true });
  return join(dir, 'nats-server/usr/sbin/nats-server');
}

/** A real nats-server: on the PATH, or unpacked before, or unpacked now. Otherwise says what to install. */
export async function findNatsServer(toolsDir: string, onUnpack: () => void = () => undefined): Promise<string> {
  const onPath = await findOnPath('nats-server');
  if (onPath !== undefined) return onPath;
  for (const unpacked of ['usr/sbin/nats-server', 'usr/bin/nats-server'].map((path) =>
    join(toolsDir, 'nats-server', path),
  ))
    if (existsSync(unpacked)) return unpacked;
  if ((await findOnPath('apt-get')) === undefined || (await findOnPath('dpkg')) === undefined)
    throw new FleetError('unavailable', `nats-server was not found; ${installHint}`);
  onUnpack();
  await mkdir(toolsDir, { recursive: true });
  try {
    const file = await unpackDebianPackage(toolsDir);
    await chmod(file, 0o755);
    return file;
  } catch (error) {
    throw new FleetError(
      'unavailable',
      `nats-server was not found and its Debian package could not be unpacked (${error instanceof Error ? error.message : String(error)}); ${installHint}`,
      { cause: error },
    );
  }
}

export interface NatsOptions {
  readonly binary: string;
  /** Holds the configuration and JetStream's files. */
  readonly dir: string;
  readonly identity: NatsIdentity;
  readonly port?: number;
  readonly logFile: string;
}

/** A real nats-server in operator mode: JetStream in files, synced; loopback only. */
export class Nats implements AsyncDisposable {
  readonly port: number;
  readonly url: string;
  readonly monitorUrl: string;
  readonly #child: Child;

  private constructor(child: Child, port: number, monitorPort: number) {
    this.#child = child;
    this.port = port;
    this.url = `nats://127.0.0.1:${port}`;
    this.monitorUrl = `http://127.0.0.1:${monitorPort}`;
  }

  static async start(options: NatsOptions): Promise<Nats> {
    await mkdir(options.dir, { recursive: true, mode: 0o700 });
    const pidFile = join(options.dir, 'nats-server.pid');
    await stopLeftover(pidFile, options.dir);
    const port = options.port ?? (await findFreePort());
    const monitorPort = await findFreePort();
    const config = join(options.dir, 'nats-server.conf');
    const text = formatNatsConfig({
      serverName: 'nixfleet-local',
      listen: `127.0.0.1:${port}`,
      monitor: `127.0.0.1:${monitorPort}`,
      storeDir: join(options.dir, 'jetstream'),
      identity: options.identity,
    });
    await writeFile(config, text, { mode: 0o600 });
    const child = await Child.start({
      name: 'nats-server',
      file: options.binary,
      args: ['-c', config],
      logFile: options.logFile,
      pidFile,
    });
    const nats = new Nats(child, port, monitorPort);
    await waitUntil(child, 20_000, () => nats.#answers());
    return nats;
  }

  get child(): Child {
    return this.#child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
  }

  async #answers(): Promise<boolean> {
    return fetch(`${this.monitorUrl}/healthz`, { signal: AbortSignal.timeout(1000) }).then(
      (response) => response.ok,
      () => false,
    );
  }
}
