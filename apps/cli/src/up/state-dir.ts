import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { FleetError } from '@nixfleet/schema';

/** The checkout: services and agents run from it. */
export const checkoutDir = resolve(import.meta.dirname, '../../../..');

/** Programs that are fetched once and serve every state directory. */
export const toolsDir = join(checkoutDir, '.nixfleet', 'tools');

/** Everything that a local backend keeps, in one directory. */
export class StateDir {
  readonly path: string;

  constructor(path: string) {
    this.path = resolve(path);
  }

  /** Makes what is missing; nobody else can read any of it. */
  static async open(path: string): Promise<StateDir> {
    const state = new StateDir(path);
    await mkdir(state.path, { recursive: true });
    // Postgres refuses to run as root: as root, its own user has to get through to its data, and sees nothing else.
    await chmod(state.path, process.getuid?.() === 0 ? 0o711 : 0o700);
    for (const dir of [state.secretsDir, state.runDir, state.logDir, state.hostsDir]) {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      await chmod(dir, 0o700);
    }
    return state;
  }

  get lockFile(): string {
    return join(this.path, 'lock');
  }

  get cliFile(): string {
    return join(this.path, 'cli.json');
  }

  /** What the services hold. */
  get secretsDir(): string {
    return join(this.path, 'secrets');
  }

  /** The operator's own: no service gets it. */
  get releaseKeyFile(): string {
    return join(this.path, 'release.key');
  }

  get operatorTokenFile(): string {
    return join(this.path, 'operator.token');
  }

  get runDir(): string {
    return join(this.path, 'run');
  }

  get logDir(): string {
    return join(this.path, 'logs');
  }

  get hostsDir(): string {
    return join(this.path, 'hosts');
  }

  get postgresDir(): string {
    return join(this.path, 'postgres');
  }

  /** Names the directory that Postgres really uses: as root it may lie elsewhere. */
  get postgresLocationFile(): string {
    return join(this.runDir, 'postgres.location');
  }

  /** The ports that were chosen last. */
  get portsFile(): string {
    return join(this.runDir, 'ports.json');
  }

  get natsDir(): string {
    return join(this.path, 'nats');
  }

  get cacheDir(): string {
    return join(this.path, 'cache');
  }

  hostRoot(host: string): string {
    return join(this.hostsDir, host);
  }

  pidFile(name: string): string {
    return join(this.runDir, `${name}.pid`);
  }

  logFile(name: string): string {
    return join(this.logDir, `${name}.log`);
  }

  secretFile(name: string): string {
    return join(this.secretsDir, name);
  }
}

/** Replaces a file in one step; only its owner may read it. */
export async function writePrivateFile(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${randomBytes(4).toString('hex')}`;
  await writeFile(draft, text, { mode: 0o600, flush: true });
  await rename(draft, file);
}

/** The file's text; made and written when there is none. */
export async function readOrCreate(file: string, create: () => string | Promise<string>): Promise<string> {
  const found = await readIfThere(file);
  if (found !== undefined) return found;
  const text = await create();
  await writePrivateFile(file, text);
  return text;
}

export async function readIfThere(file: string): Promise<string | undefined> {
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}

/** True while a process with this id exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** When the process began, as the kernel counts it: a reused id has another one. Empty where there is no /proc. */
async function startOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

/** One `up` per state directory. Throws `conflict` naming the process that has it; a dead one's lock is taken over. */
export async function lockState(state: StateDir): Promise<AsyncDisposable> {
  const own = `${process.pid} ${await startOf(process.pid)}\n`;
  for (let tries = 0; tries < 2; tries += 1) {
    try {
      await writeFile(state.lockFile, own, { mode: 0o600, flag: 'wx' });
      return { [Symbol.asyncDispose]: () => rm(state.lockFile, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const [pidText = '', started = ''] = ((await readIfThere(state.lockFile)) ?? '').trim().split(' ');
    const pid = Number(pidText);
    if (pid > 0 && isAlive(pid) && (await startOf(pid)) === started)
      throw new FleetError(
        'invalid_input',
        `${state.path} is in use: process ${pid} has been started from it. Stop that one with Ctrl-C or kill ${pid}, or choose another directory with --state-dir DIR`,
      );
    await rm(state.lockFile, { force: true });
  }
  throw new FleetError('invalid_input', `${state.path} is in use: another nixfleet up took it just now`);
}
