import type { SignedStatement } from '@nixfleet/schema';
import { FleetError } from '@nixfleet/schema';
import { statementsWithProofs } from '@nixfleet/trust';
import type { Transaction } from 'kysely';
import { selectReleaseHosts, selectSignature } from './store/releases.ts';
import type { DeployerTables } from './store/tables.ts';

/** Signed releases whose proofs are kept: a rollout asks wave after wave for the same ones. */
const maxCached = 8;

/** Statements with proofs by host, computed once for each signed release. */
export class StatementCache {
  readonly #cached = new Map<string, Map<string, SignedStatement>>();

  async get(
    tx: Transaction<DeployerTables>,
    fleet: string,
    release: string,
    sequence: number,
  ): Promise<Map<string, SignedStatement>> {
    const key = `${release}:${sequence}`;
    const known = this.#cached.get(key);
    if (known !== undefined) return known;
    const signature = await selectSignature(tx, release, sequence);
    if (signature === undefined)
      throw new FleetError('not_found', `release ${release} has no signature with sequence ${sequence}`);
    const statements = statementsWithProofs({ fleet, hosts: await selectReleaseHosts(tx, release) }, signature);
    const oldest = this.#cached.keys().next().value;
    if (this.#cached.size >= maxCached && oldest !== undefined) this.#cached.delete(oldest);
    this.#cached.set(key, statements);
    return statements;
  }
}
