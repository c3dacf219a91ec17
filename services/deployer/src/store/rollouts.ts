import {
  type CreateRollout,
  FleetError,
  type RolloutDetail,
  type RolloutPolicy,
  type RolloutState,
  type RolloutSummary,
  type RolloutTarget,
  type TargetState,
} from '@nixfleet/schema';
import { type Selectable, sql, type Transaction } from 'kysely';
import type { PlanHost, PlannedTarget } from '../core/plan.ts';
import type { RolloutSnapshot } from '../core/reconcile.ts';
import type { DeployerTables } from './tables.ts';

type Tx = Transaction<DeployerTables>;
export type RolloutRow = Selectable<DeployerTables['rollout']>;

/** Hosts of the release that follow the channel, as planning wants them. */
export async function selectPlanHosts(
  tx: Tx,
  release: string,
  request: Pick<CreateRollout, 'channel'>,
): Promise<PlanHost[]> {
  const rows = await tx
    .selectFrom('release_host')
    .innerJoin('host', 'host.host', 'release_host.host')
    .select(['host.host', 'host.site', 'host.role', 'host.tags'])
    .where('release_host.release', '=', release)
    .where('host.channel', '=', request.channel)
    .execute();
  return rows.map((row) => ({
    host: row.host,
    site: row.site,
    tags: row.tags,
    ...(row.role === null ? {} : { role: row.role }),
  }));
}

export interface NewRollout {
  readonly rollout: string;
  readonly fleet: string;
  readonly release: string;
  readonly sequence: number;
  readonly channel: string;
  readonly policy: RolloutPolicy;
  readonly targets: readonly PlannedTarget[];
  readonly traceId: string;
  readonly createdBy: string;
}

/** Stores a rollout with its frozen plan. A host that another open rollout owns is a conflict naming both. */
export async function insertRollout(tx: Tx, rollout: NewRollout): Promise<void> {
  const hosts = rollout.targets.map((t) => t.host);
  const { rows: taken } = await sql<{ host: string; rollout: string }>`
    SELECT host, rollout FROM rollout_target WHERE owns_host AND host = ANY(${hosts}::text[]) ORDER BY host LIMIT 4`.execute(
    tx,
  );
  if (taken.length > 0) {
    const named = taken.slice(0, 3).map((row) => `${row.host} (rollout ${row.rollout})`);
    throw new FleetError(
      'conflict',
      `hosts already belong to an open rollout: ${named.join(', ')}${taken.length > 3 ? ' and more' : ''}; finish or cancel it first`,
    );
  }
  await tx
    .insertInto('rollout')
    .values({
      rollout: rollout.rollout,
      fleet: rollout.fleet,
      release: rollout.release,
      sequence: rollout.sequence,
      channel: rollout.channel,
      policy: JSON.stringify(rollout.policy),
      state: 'running',
      reason: null,
      revert_pending: false,
      current_wave: 0,
      wave_count: Math.max(...rollout.targets.map((t) => t.wave)) + 1,
      accepted_failures: 0,
      trace_id: rollout.traceId,
      created_by: rollout.createdBy,
    })
    .execute();
  try {
    await sql`
      INSERT INTO rollout_target (rollout, host, site, wave)
      SELECT ${rollout.rollout}::uuid, * FROM unnest(${hosts}::text[], ${rollout.targets.map((t) => t.site)}::text[], ${rollout.targets.map((t) => t.wave)}::integer[])`.execute(
      tx,
    );
  } catch (error) {
    // The unique index on owned hosts refuses a second owner that slipped in since the look above.
    if (!(error instanceof Error && 'constraint' in error && error.constraint === 'rollout_target_owner')) throw error;
    throw new FleetError(
      'conflict',
      'another rollout took some of these hosts at the same moment; finish or cancel it first',
      { cause: error },
    );
  }
}

/** Ids of rollouts that may have something to do. */
export async function selectOpenRollouts(tx: Tx): Promise<string[]> {
  const rows = await tx
    .selectFrom('rollout')
    .select('rollout')
    .where((eb) => eb.or([eb('state', 'in', ['running', 'paused']), eb('revert_pending', '=', true)]))
    .orderBy('created_at')
    .limit(1000)
    .execute();
  return rows.map((row) => row.rollout);
}

/** Takes the rollout's row for this transaction; undefined when another deployer is at it. */
export async function claimRollout(tx: Tx, rollout: string): Promise<RolloutRow | undefined> {
  return tx
    .selectFrom('rollout')
    .selectAll()
    .where('rollout', '=', rollout)
    .forUpdate()
    .skipLocked()
    .executeTakeFirst();
}

/** Takes the rollout's row, waiting for whoever has it. */
export async function lockRollout(tx: Tx, rollout: string): Promise<RolloutRow> {
  const row = await tx.selectFrom('rollout').selectAll().where('rollout', '=', rollout).forUpdate().executeTakeFirst();
  if (row === undefined) throw new FleetError('not_found', `there is no rollout ${rollout}`);
  return row;
}

/** What `reconcile` judges: the rollout and the targets of its current wave. */
export async function selectSnapshot(tx: Tx, row: RolloutRow): Promise<RolloutSnapshot> {
  const targets = await tx
    .selectFrom('rollout_target')
    .leftJoin('attempt', 'attempt.attempt', 'rollout_target.attempt')
    .select([
      'rollout_target.host',
      'rollout_target.state',
      'rollout_target.return_attempt',
      // A number: thousands of dates a round are dear to parse.
      sql<number | null>`extract(epoch FROM attempt.dispatched_at)::float8 * 1000`.as('dispatched_at_ms'),
      'attempt.step',
      'attempt.reason',
    ])
    .where('rollout_target.rollout', '=', row.rollout)
    .where('rollout_target.wave', '=', row.current_wave)
    .orderBy('rollout_target.host')
    .execute();
  return {
    state: row.state,
    revertPending: row.revert_pending,
    policy: row.policy,
    currentWave: row.current_wave,
    waveCount: row.wave_count,
    acceptedFailures: row.accepted_failures,
    ...(row.soak_started_at === null ? {} : { soakStartedAtMs: row.soak_started_at.getTime() }),
    targets: targets.map((t) => ({
      host: t.host,
      state: t.state,
      answered: t.step !== null,
      returnSent: t.return_attempt !== null,
      ...(t.dispatched_at_ms === null ? {} : { dispatchedAtMs: t.dispatched_at_ms }),
      ...(t.reason === null ? {} : { reason: t.reason }),
    })),
  };
}

export async function setTargetState(
  tx: Tx,
  rollout: string,
  hosts: readonly string[],
  state: TargetState,
): Promise<void> {
  await sql`UPDATE rollout_target SET state = ${state} WHERE rollout = ${rollout}::uuid AND host = ANY(${hosts}::text[])`.execute(
    tx,
  );
}

/** A rollout that has ended owns its hosts no longer. */
export async function releaseHosts(tx: Tx, rollout: string): Promise<void> {
  await tx
    .updateTable('rollout_target')
    .set({ owns_host: false })
    .where('rollout', '=', rollout)
    .where('owns_host', '=', true)
    .execute();
}

export interface RolloutChange {
  readonly state?: RolloutState;
  readonly reason?: string | null;
  readonly revertPending?: boolean;
  readonly currentWave?: number;
  readonly soakStartedAt?: Date | null;
  readonly acceptedFailures?: number;
}

export async function updateRollout(tx: Tx, rollout: string, change: RolloutChange): Promise<void> {
  await tx
    .updateTable('rollout')
    .set({
      updated_at: new Date(),
      ...(change.state === undefined ? {} : { state: change.state }),
      ...(change.reason === undefined ? {} : { reason: change.reason }),
      ...(change.revertPending === undefined ? {} : { revert_pending: change.revertPending }),
      ...(change.currentWave === undefined ? {} : { current_wave: change.currentWave }),
      ...(change.soakStartedAt === undefined ? {} : { soak_started_at: change.soakStartedAt }),
      ...(change.acceptedFailures === undefined ? {} : { accepted_failures: change.acceptedFailures }),
    })
    .where('rollout', '=', rollout)
    .execute();
}

async function selectWaves(tx: Tx, rollout: string): Promise<RolloutSummary['waves']> {
  const { rows } = await sql<{ wave: number; state: TargetState; count: number }>`
    SELECT wave, state, count(*)::integer AS count FROM rollout_target WHERE rollout = ${rollout}::uuid GROUP BY wave, state ORDER BY wave`.execute(
    tx,
  );
  const waves = new Map<number, Record<TargetState, number>>();
  for (const row of rows) {
    const counts = waves.get(row.wave) ?? { queued: 0, inFlight: 0, converged: 0, failed: 0, unreachable: 0 };
    counts[row.state] = row.count;
    waves.set(row.wave, counts);
  }
  return [...waves].map(([wave, counts]) => ({ wave, counts }));
}

export async function selectRolloutSummary(tx: Tx, row: RolloutRow): Promise<RolloutSummary> {
  return {
    rollout: row.rollout,
    fleet: row.fleet,
    release: row.release,
    channel: row.channel,
    state: row.state,
    ...(row.reason === null ? {} : { reason: row.reason }),
    revertPending: row.revert_pending,
    policy: row.policy,
    currentWave: row.current_wave,
    waveCount: row.wave_count,
    waves: await selectWaves(tx, row.rollout),
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    updatedAt: row.updated_at.toISOString(),
  };
}

/** Finds a rollout by its id or by an unambiguous beginning of it. */
export async function findRollout(tx: Tx, idOrPrefix: string): Promise<RolloutRow> {
  const rows = await tx
    .selectFrom('rollout')
    .selectAll()
    .where(sql<string>`rollout::text`, 'like', `${idOrPrefix}%`)
    .limit(2)
    .execute();
  const [row] = rows;
  if (row === undefined) throw new FleetError('not_found', `there is no rollout ${idOrPrefix}`);
  if (rows.length > 1) throw new FleetError('conflict', `several rollouts begin with ${idOrPrefix}: give more of it`);
  return row;
}

export async function selectRolloutDetail(tx: Tx, row: RolloutRow): Promise<RolloutDetail> {
  const targets = await tx
    .selectFrom('rollout_target')
    .leftJoin('attempt', 'attempt.attempt', 'rollout_target.attempt')
    .leftJoin('attempt as returning', 'returning.attempt', 'rollout_target.return_attempt')
    .select([
      'rollout_target.host',
      'rollout_target.site',
      'rollout_target.wave',
      'rollout_target.state',
      'attempt.step',
      'attempt.reason',
      'attempt.detail',
      'attempt.dispatched_at',
      'attempt.finished_at',
      'returning.step as returning_step',
    ])
    .where('rollout_target.rollout', '=', row.rollout)
    .orderBy('rollout_target.wave')
    .orderBy('rollout_target.host')
    .execute();
  const toTarget = (t: (typeof targets)[number]): RolloutTarget => ({
    host: t.host,
    site: t.site,
    wave: t.wave,
    state: t.state,
    returned: t.returning_step === 'reverted',
    ...(t.step === null ? {} : { step: t.step }),
    ...(t.reason === null ? {} : { reason: t.reason }),
    ...(t.detail === null ? {} : { detail: t.detail }),
    ...(t.dispatched_at === null ? {} : { dispatchedAt: t.dispatched_at.toISOString() }),
    ...(t.finished_at === null ? {} : { finishedAt: t.finished_at.toISOString() }),
  });
  return { ...(await selectRolloutSummary(tx, row)), targets: targets.map(toTarget) };
}

/** Newest first; `before` is the creation time of the last one of the page before. */
export async function selectRollouts(tx: Tx, limit: number, before?: Date): Promise<RolloutSummary[]> {
  let query = tx.selectFrom('rollout').selectAll().orderBy('created_at', 'desc').limit(limit);
  if (before !== undefined) query = query.where('created_at', '<', before);
  const rows = await query.execute();
  return Promise.all(rows.map((row) => selectRolloutSummary(tx, row)));
}

/** Hosts of the current wave that have failed. */
export async function countFailed(tx: Tx, row: RolloutRow): Promise<number> {
  const { count } = await tx
    .selectFrom('rollout_target')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('rollout', '=', row.rollout)
    .where('wave', '=', row.current_wave)
    .where('state', '=', 'failed')
    .executeTakeFirstOrThrow();
  return count;
}

/** Gives hosts that never answered another attempt. */
export async function requeueUnreachable(tx: Tx, row: RolloutRow): Promise<void> {
  await tx
    .updateTable('rollout_target')
    .set({ state: 'queued', attempt: null })
    .where('rollout', '=', row.rollout)
    .where('wave', '=', row.current_wave)
    .where('state', '=', 'unreachable')
    .execute();
}
