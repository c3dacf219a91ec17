import { randomUUID } from 'node:crypto';
import { CreateRollout, FleetError, PageQuery, RolloutDetail, RolloutList, type RolloutState } from '@nixfleet/schema';
import type { Database, HttpApp } from '@nixfleet/service';
import type { Transaction } from 'kysely';
import { Type } from 'typebox';
import { announceRollout } from '../apply.ts';
import { matches, planWaves } from '../core/plan.ts';
import { completePolicy } from '../core/policy.ts';
import { cursorOfTime, nextCursor, timeOfCursor } from '../pages.ts';
import { selectRelease } from '../store/releases.ts';
import { selectChannels } from '../store/revisions.ts';
import {
  countFailed,
  findRollout,
  insertRollout,
  lockRollout,
  type RolloutRow,
  releaseHosts,
  requeueUnreachable,
  selectPlanHosts,
  selectRolloutDetail,
  selectRollouts,
  updateRollout,
} from '../store/rollouts.ts';
import type { DeployerTables } from '../store/tables.ts';

export interface RolloutRoutesDeps {
  readonly db: Database<DeployerTables>;
  /** Starts a round of the reconciler. */
  readonly wake: () => void;
}

type Tx = Transaction<DeployerTables>;
const RolloutParams = Type.Object({ rollout: Type.String({ pattern: '^[0-9a-f-]{4,36}$' }) });

async function createRollout(tx: Tx, request: CreateRollout, actor: string, traceId: string): Promise<RolloutDetail> {
  const release = await selectRelease(tx, request.release);
  if (release.signature === undefined)
    throw new FleetError(
      'conflict',
      `release ${release.release} is not signed: agents would refuse it (nixfleet release sign)`,
    );
  if (Date.parse(release.signature.expiresAt) < Date.now())
    throw new FleetError(
      'conflict',
      `release ${release.release} expired at ${release.signature.expiresAt}: sign it again`,
    );
  const channels = await selectChannels(tx);
  const channel = channels.find((c) => c.channel === request.channel && c.fleet === release.fleet);
  if (channel === undefined) {
    throw new FleetError(
      'not_found',
      `fleet ${release.fleet} has no channel ${request.channel}; it has ${channels.map((c) => c.channel).join(', ') || 'none'}`,
    );
  }
  const { select } = request;
  const hosts = (await selectPlanHosts(tx, release.release, request)).filter(
    (host) => select === undefined || matches(select, host),
  );
  const policy = completePolicy(channel.policy, request.policy);
  const rollout = randomUUID();
  const targets = planWaves(policy, hosts);
  await insertRollout(tx, {
    rollout,
    fleet: release.fleet,
    release: release.release,
    sequence: release.signature.sequence,
    channel: channel.channel,
    policy,
    targets,
    traceId,
    createdBy: actor,
  });
  const row = await lockRollout(tx, rollout);
  await announceRollout(tx, row, actor, 'rollout-started');
  return selectRolloutDetail(tx, row);
}

/** What a person may do to a rollout, and from which states. */
const transitions = {
  pause: { from: ['running'], to: 'paused' },
  resume: { from: ['paused'], to: 'running' },
  cancel: { from: ['running', 'paused'], to: 'cancelled' },
} as const satisfies Record<string, { from: readonly RolloutState[]; to: RolloutState }>;
type Verb = keyof typeof transitions;

async function changeState(tx: Tx, found: RolloutRow, verb: Verb, actor: string): Promise<RolloutDetail> {
  const row = await lockRollout(tx, found.rollout);
  const { from, to } = transitions[verb];
  const allowed: readonly RolloutState[] = from;
  if (!allowed.includes(row.state))
    throw new FleetError('conflict', `rollout ${row.rollout} is ${row.state}: ${verb} needs ${from.join(' or ')}`);
  const reason = verb === 'resume' ? null : `${verb === 'pause' ? 'paused' : 'cancelled'} by ${actor}`;
  await updateRollout(tx, row.rollout, {
    state: to,
    reason,
    ...(verb === 'resume' ? { acceptedFailures: await countFailed(tx, row) } : {}),
  });
  if (verb === 'resume') await requeueUnreachable(tx, row);
  if (verb === 'cancel') await releaseHosts(tx, row.rollout);
  await announceRollout(tx, { ...row, state: to }, actor, `rollout-${verb}`, reason ?? undefined);
  return selectRolloutDetail(tx, await lockRollout(tx, row.rollout));
}

export function addRolloutRoutes(app: HttpApp, { db, wake }: RolloutRoutesDeps): void {
  app.post(
    '/v1/rollouts',
    {
      config: { access: 'deploy' },
      schema: {
        summary: 'Start a rollout of a signed release to a channel',
        body: CreateRollout,
        response: { 201: RolloutDetail },
      },
    },
    async (request, reply) => {
      const detail = await db.transaction((tx) =>
        createRollout(tx, request.body, request.operator?.name ?? '', request.traceId),
      );
      wake();
      return reply.code(201).send(detail);
    },
  );
  app.get(
    '/v1/rollouts',
    {
      config: { access: 'readonly' },
      schema: { summary: 'Rollouts, newest first', querystring: PageQuery, response: { 200: RolloutList } },
    },
    async (request) => {
      const limit = request.query.limit ?? 100;
      const rollouts = await db.transaction((tx) => selectRollouts(tx, limit, timeOfCursor(request.query.cursor)));
      return { rollouts, ...nextCursor(rollouts, limit, (r) => cursorOfTime(r.createdAt)) };
    },
  );
  app.get(
    '/v1/rollouts/:rollout',
    {
      config: { access: 'readonly' },
      schema: { summary: 'One rollout with every host', params: RolloutParams, response: { 200: RolloutDetail } },
    },
    async (request) =>
      db.transaction(async (tx) => selectRolloutDetail(tx, await findRollout(tx, request.params.rollout))),
  );
  for (const verb of ['pause', 'resume', 'cancel'] as const) {
    app.post(
      `/v1/rollouts/:rollout/${verb}`,
      {
        config: { access: 'deploy' },
        schema: { summary: `${verb} a rollout`, params: RolloutParams, response: { 200: RolloutDetail } },
      },
      async (request) => {
        const detail = await db.transaction(async (tx) =>
          changeState(tx, await findRollout(tx, request.params.rollout), verb, request.operator?.name ?? ''),
        );
        wake();
        return detail;
      },
    );
  }
}
