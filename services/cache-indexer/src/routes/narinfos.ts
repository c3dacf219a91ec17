import { isHashPart, type SecretKey, storeDir } from '@nixfleet/nix';
import type { Database, HttpApp } from '@nixfleet/service';
import { renderNarInfo } from '../core/narinfo.ts';
import { type CacheMetrics, countLookup } from '../metrics.ts';
import { selectPath } from '../store/paths.ts';
import type { CacheTables } from '../store/tables.ts';
import { sendMissing } from './missing.ts';

export interface NarInfoDeps {
  readonly db: Database<CacheTables>;
  readonly keys: readonly SecretKey[];
  readonly metrics: CacheMetrics;
}

const cacheInfo = `StoreDir: ${storeDir}\nWantMassQuery: 1\nPriority: 30\n`;
const hitCaching = 'public, max-age=86400';
const config = { access: 'public' } as const;

/** `/nix-cache-info` and `/<hash part>.narinfo`: what a Nix client asks first. */
export function registerNarInfos(app: HttpApp, deps: NarInfoDeps): void {
  app.get('/nix-cache-info', { config, schema: { tags: ['binary cache'] } }, (_, reply) =>
    reply.type('text/x-nix-cache-info').send(cacheInfo),
  );

  app.get<{ Params: { storeHash: string } }>(
    '/:storeHash.narinfo',
    { config, schema: { tags: ['binary cache'] } },
    async (request, reply) => {
      const { storeHash } = request.params;
      if (!isHashPart(storeHash)) return sendMissing(reply, 'no such path');
      const path = await countLookup(deps.metrics.narinfoRequests, () =>
        deps.db.read((db) => selectPath(db, storeHash)),
      );
      if (path === undefined) return sendMissing(reply, 'missed hash');
      return reply.type('text/x-nix-narinfo').header('cache-control', hitCaching).send(renderNarInfo(path, deps.keys));
    },
  );
}
