import { FleetError, Uuid } from '@nixfleet/schema';
import type { HttpApp } from '@nixfleet/service';
import { Type } from 'typebox';
import type { PingKind } from '../core/pings.ts';
import type { MicroBatcher } from '../micro-batcher.ts';
import type { PingResult, ReceivedPing } from '../ping-writer.ts';

/** Longer bodies are cut, not refused: what a backup tool prints last is the least of a failed run. */
const bodyLimitBytes = 10_000;
const acceptedBodyBytes = 1024 ** 2;

const PingParams = Type.Object({ key: Uuid, action: Type.Optional(Type.String({ maxLength: 16 })) });
const PingQuery = Type.Object({ rid: Type.Optional(Uuid) });

/** What the last part of a ping URL means: nothing or 0 is success, another exit status is failure. */
export function readAction(action: string | undefined): { kind: PingKind; exitStatus?: number } {
  if (action === undefined) return { kind: 'success' };
  if (action === 'start' || action === 'fail' || action === 'log') return { kind: action };
  const status = /^\d{1,3}$/.test(action) ? Number(action) : Number.NaN;
  if (Number.isNaN(status))
    throw new FleetError('not_found', `there is no ping ${JSON.stringify(action)}: start, fail, log or an exit status`);
  return { kind: status === 0 ? 'success' : 'fail', exitStatus: status };
}

/** The ping API of healthchecks, by key: `/ping/<uuid>[/start|/fail|/log|/<exit status>]`. */
export function addPingRoutes(
  app: HttpApp,
  pings: MicroBatcher<ReceivedPing, PingResult>,
  onPing: (kind: PingKind) => void,
): void {
  void app.register(async (scope: HttpApp) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: acceptedBodyBytes }, (_request, body, done) =>
      done(null, body),
    );
    for (const url of ['/ping/:key', '/ping/:key/:action']) {
      scope.route({
        method: ['GET', 'HEAD', 'POST'],
        url,
        config: { access: 'public' },
        exposeHeadRoute: false,
        attachValidation: true,
        schema: {
          summary: 'A sign of life of a backup job; the key is the secret',
          params: PingParams,
          querystring: PingQuery,
        },
        handler: async (request, reply) => {
          reply
            .header('ping-body-limit', String(bodyLimitBytes))
            .header('access-control-allow-origin', '*')
            .type('text/plain; charset=utf-8');
          if (request.validationError !== undefined) {
            // healthchecks' own answers: a wrong rid is 400, a key that can't be one is 404.
            return request.validationError.validationContext === 'querystring'
              ? reply.code(400).send('invalid uuid format')
              : reply.code(404).send('not found');
          }
          const { kind, exitStatus } = readAction(request.params.action);
          if (exitStatus !== undefined && exitStatus > 255) return reply.code(400).send('invalid exit status');
          const body = Buffer.isBuffer(request.body)
            ? request.body.subarray(0, bodyLimitBytes).toString('utf8').replaceAll('\0', '')
            : undefined;
          const { rid } = request.query;
          const ping = {
            kind,
            atMs: Date.now(),
            ...(rid === undefined ? {} : { rid }),
            ...(exitStatus === undefined ? {} : { exitStatus }),
            ...(body === undefined ? {} : { body }),
          };
          const result = await pings.add({ pingKey: request.params.key, ping, traceId: request.traceId });
          if (result === 'unknown') return reply.code(404).send('not found');
          onPing(kind);
          return reply.send('OK');
        },
      });
    }
  });
}
