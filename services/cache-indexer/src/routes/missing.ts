import type { FastifyReply } from 'fastify';

/**
 * 404 for what is known not to be here. Nix remembers it for an hour by itself; nobody in between may: the path may come
 * any moment. Uncertainty is never answered so, it is an `unavailable`.
 */
export const sendMissing = (reply: FastifyReply, why: string): FastifyReply =>
  reply.code(404).header('cache-control', 'no-store').type('text/plain').send(`${why}\n`);
