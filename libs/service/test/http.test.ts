import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorCode, errorCodes, FleetError } from '@nixfleet/schema';
import { Type } from 'typebox';
import { createApp, createLogger, createMetrics, Health, type HttpApp, listen } from '../src/index.ts';

const operators = {
  authorise: () => {
    throw new FleetError('unauthenticated', 'nobody is known here');
  },
};

async function serve(addRoutes: (app: HttpApp) => void): Promise<AsyncDisposable & { readonly url: string }> {
  const app = await createApp({
    name: 'test',
    description: 'Test of the chassis.',
    log: createLogger('test', 'silent'),
    health: new Health(),
    metrics: createMetrics('test'),
    operators,
  });
  addRoutes(app);
  return listen(app, '127.0.0.1', 0);
}

const open = { config: { access: 'public' } } as const;
interface Failure {
  readonly code: string;
  readonly message: string;
  readonly traceId: string;
}
const failureOf = async (response: Response): Promise<Failure> => ((await response.json()) as { error: Failure }).error;

test('every error code answers with the status of its table, its message and the trace id', async () => {
  await using server = await serve((app) =>
    app.get('/fail/:code', open, (request) => {
      throw new FleetError((request.params as { code: ErrorCode }).code, 'what was wrong');
    }),
  );
  const traceId = 'ab'.repeat(16);
  for (const [code, { httpStatus }] of Object.entries(errorCodes)) {
    const headers = { traceparent: `00-${traceId}-${'cd'.repeat(8)}-01` };
    const response = await fetch(`${server.url}/fail/${code}`, { headers });
    assert.equal(response.status, httpStatus, code);
    assert.equal(response.headers.get('retry-after') !== null, httpStatus === 503, code);
    const { message, ...failure } = await failureOf(response);
    assert.deepEqual({ ...failure, message }, { code, message: 'what was wrong', traceId, diagnostics: [] });
  }
});

test('a bug answers 500 and tells nothing of itself', async () => {
  await using server = await serve((app) =>
    app.get('/bug', open, () => {
      throw new TypeError('password is hunter2');
    }),
  );
  const response = await fetch(`${server.url}/bug`);
  const text = await response.text();
  assert.equal(response.status, 500);
  assert.match(text, /"code":"internal"/);
  assert.doesNotMatch(text, /hunter2|TypeError|\.ts/);
});

test('what fails before a handler is told in the same form', async () => {
  await using server = await serve((app) => {
    const body = Type.Object({ count: Type.Integer() }, { additionalProperties: false });
    app.post('/count', { ...open, bodyLimit: 100, schema: { body } }, () => ({}));
    app.get('/closed', { config: { access: 'readonly' } }, () => ({}));
  });
  const post = (body: string, type = 'application/json') =>
    fetch(`${server.url}/count`, { method: 'POST', headers: { 'content-type': type }, body });
  const answers: readonly (readonly [Promise<Response>, number, string])[] = [
    [fetch(`${server.url}/nowhere`), 404, 'not_found'],
    [post('{"count": "many"}'), 422, 'invalid_input'],
    [post('{"count": 1, "more": 2}'), 422, 'invalid_input'],
    [post('{'), 400, 'invalid_input'],
    [post('<count>', 'text/xml'), 415, 'invalid_input'],
    [post(`{"count": ${'1'.repeat(200)}}`), 413, 'too_large'],
    [fetch(`${server.url}/closed`), 401, 'unauthenticated'],
  ];
  for (const [answer, status, code] of answers) {
    const response = await answer;
    const failure = await failureOf(response);
    assert.deepEqual([response.status, failure.code], [status, code], failure.message);
    assert.equal(response.headers.get('x-trace-id'), failure.traceId);
  }
});

test('a route that does not say who may call it stops the start', async () => {
  await assert.rejects(
    serve((app) => app.get('/forgotten', () => ({}))),
    /route GET \/forgotten states no access/,
  );
});

test('openapi.json describes every route with its schema', async () => {
  const body = Type.Object({ name: Type.String({ maxLength: 7 }) });
  await using server = await serve((app) =>
    app.post('/v1/things', { ...open, schema: { summary: 'Make a thing', body } }, () => ({})),
  );
  const response = await fetch(`${server.url}/openapi.json`);
  assert.equal(response.status, 200);
  const { openapi, paths } = (await response.json()) as {
    openapi: string;
    paths: Record<string, Record<string, { summary?: string; requestBody?: unknown }>>;
  };
  assert.equal(openapi, '3.1.0');
  assert.deepEqual(Object.keys(paths).sort(), ['/healthz', '/readyz', '/v1/things']);
  const thing = paths['/v1/things']?.post;
  assert.equal(thing?.summary, 'Make a thing');
  assert.match(JSON.stringify(thing?.requestBody), /"maxLength":7/);
});

test('a shutdown finishes the request under way and takes no new one', async () => {
  const entered = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const server = await serve((app) =>
    app.get('/slow', open, async () => {
      entered.resolve();
      await gate.promise;
      return { finished: true };
    }),
  );
  await (await fetch(`${server.url}/healthz`)).text();
  const slow = fetch(`${server.url}/slow`);
  await entered.promise;
  const stopped = server[Symbol.asyncDispose]();
  await assert.rejects(async () => {
    const { status } = await fetch(`${server.url}/healthz`);
    if (status === 503) throw new Error('refused');
  });
  gate.resolve();
  const response = await slow;
  assert.deepEqual([response.status, await response.json()], [200, { finished: true }]);
  await stopped;
});
