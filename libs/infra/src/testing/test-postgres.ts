import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { connectionUrl, Postgres, provisionDatabase, withClient } from '../postgres.ts';
import { killAtExit } from './kill-at-exit.ts';
import { runsInContainers } from './test-infra.ts';

export interface TestDatabaseSpec {
  /** The service's role and schema. */
  readonly service: string;
  /** The service's migrations: the template is made anew when one of them changes. */
  readonly migrations: Readonly<Record<string, { readonly up: unknown }>>;
  /** Migrates the database; `url` connects as the service's role. */
  readonly migrate: (url: string) => Promise<void>;
}

export interface TestDatabase extends AsyncDisposable {
  /** Connection string of the service's role. */
  readonly url: string;
  /** Connection string of the superuser. */
  readonly adminUrl: string;
}

/** Any number that nobody else locks: one test process at a time makes roles and templates. */
const templateLock = 727_501;
const password = 'test';

/**
 * Real databases for tests: each is a clone of a template that is migrated once for each service and set of migrations.
 * The server is the one of NIXFLEET_TEST_POSTGRES_URL (a superuser's connection string), else one of its own.
 */
export class TestPostgres implements AsyncDisposable {
  readonly #adminUrl: string;
  readonly #resources: AsyncDisposableStack;

  private constructor(adminUrl: string, resources: AsyncDisposableStack) {
    this.#adminUrl = adminUrl;
    this.#resources = resources;
  }

  static async open(): Promise<TestPostgres> {
    const given = process.env.NIXFLEET_TEST_POSTGRES_URL;
    if (given !== undefined && given !== '') return new TestPostgres(given, new AsyncDisposableStack());
    return TestPostgres.start();
  }

  /** A server of its own, in a temporary directory or in a container. */
  static async start(): Promise<TestPostgres> {
    await using starting = new AsyncDisposableStack();
    if (runsInContainers()) {
      const { startPostgresContainer } = await import('./containers.ts');
      const { adminUrl } = starting.use(await startPostgresContainer());
      return new TestPostgres(adminUrl, starting.move());
    }
    const dir = await mkdtemp(join(tmpdir(), 'nixfleet-postgres-'));
    starting.defer(() => rm(dir, { recursive: true, force: true }));
    // Postgres's own user must reach it when we are root.
    await chmod(dir, 0o711);
    const server = await Postgres.start({ dataDir: join(dir, 'postgres/data'), logFile: join(dir, 'postgres.log') });
    killAtExit(server.child);
    // It lies elsewhere when that user can't reach the temporary directory.
    starting.defer(() => rm(dirname(server.dataDir), { recursive: true, force: true }));
    starting.use(server);
    return new TestPostgres(server.url(), starting.move());
  }

  /** Connection string of the superuser. */
  get adminUrl(): string {
    return this.#adminUrl;
  }

  /** A fresh database that is migrated already. Disposing drops it, whoever is still connected. */
  async createDatabase(spec: TestDatabaseSpec): Promise<TestDatabase> {
    const template = await this.#template(spec);
    const database = `test_${spec.service}_${randomBytes(6).toString('hex')}`;
    await withClient(this.#adminUrl, (client) =>
      client.query(`CREATE DATABASE ${pg.escapeIdentifier(database)} TEMPLATE ${pg.escapeIdentifier(template)}`),
    );
    return {
      url: connectionUrl(this.#adminUrl, database, { name: spec.service, password }),
      adminUrl: connectionUrl(this.#adminUrl, database),
      [Symbol.asyncDispose]: async () => {
        await withClient(this.#adminUrl, (client) =>
          client.query(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(database)} WITH (FORCE)`),
        );
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }

  /** Name of the migrated template; made by whoever comes first, renamed when it is complete. */
  async #template(spec: TestDatabaseSpec): Promise<string> {
    const source = Object.entries(spec.migrations).map(([name, { up }]) => `${name}\n${String(up)}`);
    const digest = createHash('sha256').update(source.join('\n')).digest('hex').slice(0, 16);
    const name = `template_${spec.service}_${digest}`;
    await withClient(this.#adminUrl, async (client) => {
      await client.query('SELECT pg_advisory_lock($1)', [templateLock]);
      const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name]);
      if (rowCount !== 0) return;
      const unfinished = `${name}_unfinished`;
      await client.query(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(unfinished)} WITH (FORCE)`);
      const role = { role: spec.service, password, schema: spec.service };
      await provisionDatabase(this.#adminUrl, unfinished, [role]);
      await spec.migrate(connectionUrl(this.#adminUrl, unfinished, { name: spec.service, password }));
      await client.query(`ALTER DATABASE ${pg.escapeIdentifier(unfinished)} RENAME TO ${pg.escapeIdentifier(name)}`);
    });
    return name;
  }
}
