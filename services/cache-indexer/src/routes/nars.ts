import type { HttpApp } from '@nixfleet/service';
import type { FastifyReply } from 'fastify';
import { parseRange } from '../core/range.ts';
import { type CacheMetrics, countLookup } from '../metrics.ts';
import type { NarStorage, OpenNar } from '../storage/nar-storage.ts';
import { sendMissing } from './missing.ts';

export interface NarDeps {
  readonly storage: NarStorage;
  readonly metrics: CacheMetrics;
}

/** A NAR's name is its hash: it never changes. */
const caching = 'public, max-age=31536000, immutable';
const readChunkBytes = 256 * 1024;

interface NarAnswer {
  readonly status: 200 | 206 | 416;
  readonly headers: Readonly<Record<string, string | number>>;
  /** What of the file is sent; absent for 416. */
  readonly body?: { readonly start: number; readonly end: number };
}

function answerOf(rangeHeader: string | undefined, sizeBytes: number): NarAnswer {
  const range = parseRange(rangeHeader, sizeBytes);
  if (range === 'unsatisfiable')
    return { status: 416, headers: { 'content-range': `bytes */${sizeBytes}`, 'cache-control': 'no-store' } };
  const body = range ?? { start: 0, end: sizeBytes - 1 };
  return {
    status: range === undefined ? 200 : 206,
    headers: {
      'content-type': 'application/x-nix-archive',
      'content-length': body.end - body.start + 1,
      'cache-control': caching,
      ...(range === undefined ? {} : { 'content-range': `bytes ${body.start}-${body.end}/${sizeBytes}` }),
    },
    body,
  };
}

async function sendNar(reply: FastifyReply, nar: OpenNar, metrics: CacheMetrics): Promise<FastifyReply> {
  const answer = answerOf(reply.request.headers.range, nar.sizeBytes);
  reply.code(answer.status).header('accept-ranges', 'bytes').headers(answer.headers);
  if (answer.body === undefined || reply.request.method === 'HEAD') {
    await nar[Symbol.asyncDispose]();
    return reply.send();
  }
  // The stream closes the file, also when the client goes away halfway.
  const stream = nar.handle.createReadStream({ ...answer.body, highWaterMark: readChunkBytes });
  stream.on('close', () => metrics.narSentBytes.inc(stream.bytesRead));
  return reply.send(stream);
}

/** `/nar/<nar hash>.nar`, from disk alone: what is being fetched goes on while the index is away. */
export function registerNars(app: HttpApp, deps: NarDeps): void {
  // One route for both methods: a HEAD that is derived from GET would read the whole file.
  app.route<{ Params: { narHash: string } }>({
    method: ['GET', 'HEAD'],
    url: '/nar/:narHash.nar',
    exposeHeadRoute: false,
    config: { access: 'public' },
    schema: { tags: ['binary cache'] },
    handler: async (request, reply) => {
      const nar = await countLookup(deps.metrics.narRequests, () => deps.storage.openNar(request.params.narHash));
      return nar === undefined ? sendMissing(reply, 'missing outhash') : sendNar(reply, nar, deps.metrics);
    },
  });
}
