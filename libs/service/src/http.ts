import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import swagger from '@fastify/swagger';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import {
  type Diagnostic,
  type ErrorCode,
  errorCodes,
  FleetError,
  type OperatorRecord,
  type OperatorRole,
} from '@nixfleet/schema';
import {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
  type RawReplyDefaultExpression,
  type RawRequestDefaultExpression,
  type RawServerDefault,
} from 'fastify';
import { Type } from 'typebox';
import { addDeadLetterRoutes, type DeadLetters } from './dead-letters.ts';
import type { Health } from './health.ts';
import type { Logger } from './logger.ts';
import type { ServiceMetrics } from './metrics.ts';
import type { Operators } from './operators.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call the route; every route states it. */
    access?: OperatorRole | 'public';
  }
  interface FastifyRequest {
    /** W3C trace id, from `traceparent` or new. */
    traceId: string;
    /** Who calls; undefined on public routes. */
    operator: OperatorRecord | undefined;
  }
}

export type HttpApp = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

export interface HttpOptions {
  readonly name: string;
  readonly description: string;
  readonly log: Logger;
  readonly health: Health;
  readonly metrics: ServiceMetrics;
  readonly operators: Pick<Operators, 'authorise'>;
  /** Of a service that consumes messages. */
  readonly deadLetters?: DeadLetters;
  /** Largest body of a route that states none, in bytes. */
  readonly bodyLimitBytes?: number;
}

const defaultBodyLimitBytes = 1024 ** 2;
const requestTimeoutMs = 120_000;

/** What every error of an API says; part of each route's documentation. */
const ErrorBody = Type.Object({
  error: Type.Object({
    code: Type.String(),
    message: Type.String(),
    diagnostics: Type.Array(Type.Unknown()),
    traceId: Type.String(),
  }),
});

interface Failure {
  readonly status: number;
  readonly code: ErrorCode | 'internal';
  readonly message: string;
  readonly diagnostics: readonly Diagnostic[];
}

/** Known errors by the table; everything else is a bug of ours and says nothing of itself. */
function toFailure(error: FastifyError | Error): Failure {
  if (error instanceof FleetError)
    return {
      status: errorCodes[error.code].httpStatus,
      code: error.code,
      message: error.message,
      diagnostics: error.diagnostics,
    };
  if ('validation' in error && error.validation !== undefined) {
    const diagnostics = error.validation.map((problem) => ({
      severity: 'error' as const,
      message: `${error.validationContext ?? 'request'}${problem.instancePath} ${problem.message ?? 'is wrong'}`,
    }));
    return { status: 422, code: 'invalid_input', message: error.message, diagnostics };
  }
  const status = 'statusCode' in error ? (error.statusCode ?? 500) : 500;
  if (status === 413) return { status, code: 'too_large', message: error.message, diagnostics: [] };
  if (status >= 400 && status < 500)
    return { status, code: status === 404 ? 'not_found' : 'invalid_input', message: error.message, diagnostics: [] };
  return {
    status: 500,
    code: 'internal',
    message: 'something went wrong on our side; the log of the service has it under this trace id',
    diagnostics: [],
  };
}

const traceIdOf = (traceparent: unknown): string =>
  (typeof traceparent === 'string'
    ? /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(traceparent)?.[1]
    : undefined) ?? randomBytes(16).toString('hex');

/** A Fastify app with what every service serves; routes are added to it, `listen` starts it. */
export async function createApp(options: HttpOptions): Promise<HttpApp> {
  const loggerInstance: FastifyBaseLogger = options.log;
  const app: HttpApp = fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.bodyLimitBytes ?? defaultBodyLimitBytes,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: 72_000,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 512 },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: true, useDefaults: true, allErrors: false } },
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.decorateRequest('traceId', '');
  app.decorateRequest('operator', undefined);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: `NixFleet ${options.name}`, description: options.description, version: '0.1.0' },
      components: { securitySchemes: { operator: { type: 'http', scheme: 'bearer' } } },
    },
  });
  addHooks(app, options);
  closeConnectionsAfterUse(app);
  addCommonRoutes(app, options);
  if (options.deadLetters !== undefined) addDeadLetterRoutes(app, options.deadLetters);
  return app;
}

/**
 * While the app closes, a connection ends with the answer that it was busy with: kept alive it would hold the shutdown
 * for as long as the client cares to keep it.
 */
function closeConnectionsAfterUse(app: HttpApp): void {
  let closing = false;
  app.addHook('preClose', async () => {
    closing = true;
  });
  app.addHook('onSend', async (_, reply) => {
    if (closing) reply.header('connection', 'close');
  });
  // For answers whose head was on its way before.
  app.addHook('onResponse', async () => {
    if (closing) setImmediate(() => app.server.closeIdleConnections());
  });
}

function addHooks(app: HttpApp, { metrics, operators, log }: HttpOptions): void {
  app.addHook('onRoute', (route) => {
    // A route that forgot to say who may call it must not exist.
    if (route.config?.access === undefined && route.method !== 'HEAD')
      throw new Error(`route ${String(route.method)} ${route.url} states no access`);
    if (!route.url.startsWith('/v1/')) return;
    const response = route.schema?.response as Record<string, unknown> | undefined;
    route.schema = { ...route.schema, response: { '4xx': ErrorBody, '5xx': ErrorBody, ...response } };
  });
  app.addHook('onRequest', async (request, reply) => {
    request.traceId = traceIdOf(request.headers.traceparent);
    reply.header('x-trace-id', request.traceId);
    const access = request.routeOptions.config.access;
    if (access !== undefined && access !== 'public')
      request.operator = operators.authorise(request.headers.authorization, access);
  });
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    metrics.httpDuration.observe(
      { method: request.method, route, status: String(reply.statusCode) },
      reply.elapsedTime / 1000,
    );
  });
  app.setErrorHandler((error: FastifyError | Error, request, reply) => {
    const failure = toFailure(error);
    if (failure.status >= 500)
      log.error({ err: error, traceId: request.traceId, route: request.routeOptions.url }, 'request failed');
    void sendFailure(reply, failure, request.traceId);
  });
  app.setNotFoundHandler((request, reply) => {
    void sendFailure(
      reply,
      {
        status: 404,
        code: 'not_found',
        message: `there is no ${request.method} ${request.url.split('?')[0] ?? ''}`,
        diagnostics: [],
      },
      request.traceId,
    );
  });
}

function sendFailure(reply: FastifyReply, failure: Failure, traceId: string): FastifyReply {
  if (failure.status === 503) reply.header('retry-after', '2');
  return reply
    .code(failure.status)
    .serializer(JSON.stringify)
    .type('application/json')
    .send({ error: { code: failure.code, message: failure.message, diagnostics: failure.diagnostics, traceId } });
}

const Dependency = Type.Object({
  name: Type.String(),
  up: Type.Boolean(),
  reason: Type.Optional(Type.String()),
  since: Type.String(),
});
const Readiness = Type.Object({
  ready: Type.Boolean(),
  stopping: Type.Boolean(),
  dependencies: Type.Array(Dependency),
});

function addCommonRoutes(app: HttpApp, { health, metrics }: HttpOptions): void {
  const config = { access: 'public' } as const;
  app.get('/healthz', { config, schema: { response: { 200: Type.Object({ ok: Type.Literal(true) }) } } }, async () => ({
    ok: true as const,
  }));
  app.get('/readyz', { config, schema: { response: { 200: Readiness, 503: Readiness } } }, async (_request, reply) => {
    const body = { ready: health.ready, stopping: health.stopping, dependencies: health.states() };
    return reply.code(health.ready ? 200 : 503).send(body);
  });
  app.get('/metrics', { config, schema: { hide: true } }, async (_request: FastifyRequest, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
  app.get('/openapi.json', { config, schema: { hide: true } }, async () => app.swagger());
}

/** Starts listening. Disposing stops taking requests and waits for those under way. */
export async function listen(
  app: HttpApp,
  host: string,
  port: number,
): Promise<AsyncDisposable & { readonly url: string }> {
  await app.listen({ host, port });
  const address = app.server.address() as AddressInfo;
  const shown = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return { url: `http://${shown}:${address.port}`, [Symbol.asyncDispose]: () => app.close() };
}
