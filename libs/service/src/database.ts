import { setTimeout as sleep } from 'node:timers/promises';
import { FleetError } from '@nixfleet/schema';
import { Kysely, PostgresDialect, sql, type Transaction } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import pg from 'pg';
import type { Health } from './health.ts';
import type { Logger } from './logger.ts';
import { up as chassisTables } from './migrations/0000-chassis.ts';
import type { Secret } from './secret.ts';

// int8 comes back as text by default. Every bigint of ours is a counter far below 2^53.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export interface DatabaseOptions {
  readonly url: Secret;
  /** The service's own schema; nothing else is on its search path. */
  readonly schema: string;
  /** Forward-only, applied in the order of their names. */
  readonly migrations: Readonly<Record<string, Pick<Migration, 'up'>>>;
  readonly log: Logger;
  readonly health: Health;
  readonly maxConnections?: number;
}

/** SQLSTATE classes after which the same transaction may well succeed: nothing of it was committed. */
const retryableStates = new Set(['40001', '40P01']);
const connectionClasses = ['08', '57P', '53'];
const maxTries = 5;
const statementTimeoutMs = 30_000;
const connectTimeoutMs = 5000;
const firstRetryMs = 200;
const maxRetryMs = 5000;

function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** True when the database could not be reached or went away: what was asked may be asked again later. */
export function isConnectionError(error: unknown): boolean {
  const state = sqlState(error);
  // Errors of the system first: EPIPE looks like an SQLSTATE, of which none begins with E.
  if (state !== undefined && /^E[A-Z_]+$/.test(state)) return true;
  if (state !== undefined && /^[0-9A-Z]{5}$/.test(state))
    return connectionClasses.some((head) => state.startsWith(head));
  return (
    error instanceof Error &&
    /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error/.test(
      error.message,
    )
  );
}

/** A connection that broke, as the `unavailable` that it means; every other error as it is. */
function asUnavailable(error: unknown): unknown {
  if (error instanceof FleetError || !isConnectionError(error)) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new FleetError('unavailable', `Postgres is not reachable: ${reason}`, { cause: error });
}

/** A service's Postgres: pool, migrations in the background, transactions that are retried where that is safe. */
export class Database<Tables> implements AsyncDisposable {
  readonly kysely: Kysely<Tables>;
  /** Resolves when the schema is there; rejects only when a migration is wrong or the database is being closed. */
  readonly ready: Promise<void>;
  readonly #options: DatabaseOptions;
  readonly #state: ReturnType<Health['register']>;
  readonly #closing = new AbortController();
  readonly #afterCommit: (() => void)[] = [];
  readonly #watch: Promise<void>;
  #migrated = false;

  constructor(options: DatabaseOptions) {
    this.#options = options;
    this.#state = options.health.register('postgres');
    const pool = new pg.Pool({
      connectionString: options.url.reveal(),
      max: options.maxConnections ?? 10,
      connectionTimeoutMillis: connectTimeoutMs,
      idleTimeoutMillis: 30_000,
      application_name: `nixfleet ${options.schema}`,
      options: `-c search_path=${options.schema} -c statement_timeout=${statementTimeoutMs} -c idle_in_transaction_session_timeout=60000`,
    });
    // Without listeners a connection that breaks would end the process: while it is idle, and while a transaction that
    // has it is between two queries (the next query fails then, and says so).
    pool.on('connect', (client) => {
      client.on('error', (error) => options.log.debug({ err: error }, 'a connection to Postgres broke'));
    });
    pool.on('error', (error) => options.log.warn({ err: error }, 'an idle connection to Postgres broke'));
    this.kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
    this.ready = this.#prepare();
    this.ready.catch(() => undefined);
    this.#watch = this.#watchHealth();
  }

  /** Called after each commit: the outbox relay starts at once. */
  onCommit(listener: () => void): void {
    this.#afterCommit.push(listener);
  }

  /**
   * Runs `work` in a transaction. It is run again when Postgres undid it because of others (serialisation, deadlock);
   * a connection that broke, or a schema that is not there yet, is `unavailable`. `work` must have no effect but through `tx`.
   */
  async transaction<T>(work: (tx: Transaction<Tables>) => Promise<T>): Promise<T> {
    this.#requireMigrated();
    for (let tries = 1; ; tries += 1) {
      try {
        const result = await this.kysely.transaction().execute(work);
        for (const listener of this.#afterCommit) listener();
        return result;
      } catch (error) {
        if (error instanceof FleetError) throw error;
        if (retryableStates.has(sqlState(error) ?? '') && tries < maxTries) {
          await sleep(10 * 2 ** tries * Math.random());
          continue;
        }
        throw asUnavailable(error);
      }
    }
  }

  /** Runs queries without a transaction. Throws `unavailable` while Postgres can't be reached or is not migrated yet. */
  async read<T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T> {
    this.#requireMigrated();
    try {
      return await work(this.kysely);
    } catch (error) {
      throw asUnavailable(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#watch;
    await this.ready.catch(() => undefined);
    await this.kysely.destroy();
  }

  #requireMigrated(): void {
    if (!this.#migrated) throw new FleetError('unavailable', 'Postgres is not ready yet');
  }

  /** Creates the schema and migrates it, for as long as it takes Postgres to come up. */
  async #prepare(): Promise<void> {
    const { log } = this.#options;
    for (let tries = 0; ; tries += 1) {
      this.#closing.signal.throwIfAborted();
      try {
        await migrateDatabase(this.kysely, this.#options.schema, this.#options.migrations);
        this.#migrated = true;
        this.#state.up();
        return;
      } catch (error) {
        if (!isConnectionError(error)) {
          this.#state.down(`the migration failed: ${error instanceof Error ? error.message : String(error)}`);
          log.fatal({ err: error }, 'the database could not be migrated');
          throw error;
        }
        this.#state.down(error instanceof Error ? error.message : String(error));
        if (tries === 0) log.warn({ err: error }, 'Postgres is not reachable, trying again');
        await sleep(Math.min(maxRetryMs, firstRetryMs * 2 ** tries) * (0.5 + Math.random() / 2), undefined, {
          signal: this.#closing.signal,
        });
      }
    }
  }

  async #watchHealth(): Promise<void> {
    await this.ready.catch(() => undefined);
    // A migration that failed stays the reason why the service is not ready.
    while (this.#migrated && !this.#closing.signal.aborted) {
      try {
        await sql`SELECT 1`.execute(this.kysely);
        this.#state.up();
      } catch (error) {
        this.#state.down(error instanceof Error ? error.message : String(error));
      }
      await sleep(2000, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    }
  }
}

/** Brings a schema to its newest migration. Two instances at once: an advisory lock lets one do it. */
export async function migrateDatabase<Tables>(
  db: Kysely<Tables>,
  schema: string,
  migrations: DatabaseOptions['migrations'],
): Promise<void> {
  const { rows } = await sql`SELECT 1 FROM pg_namespace WHERE nspname = ${schema}`.execute(db);
  if (rows.length === 0) await sql`CREATE SCHEMA IF NOT EXISTS ${sql.id(schema)}`.execute(db);
  const all: Record<string, Migration> = { '0000-chassis': { up: chassisTables }, ...migrations };
  const migrator = new Migrator({
    db,
    provider: { getMigrations: () => Promise.resolve(all) },
    migrationTableSchema: schema,
    migrationTableName: 'migration',
    migrationLockTableName: 'migration_lock',
  });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
}
