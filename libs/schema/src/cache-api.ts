import { type Static, Type } from 'typebox';
import { Sha256Hex, StorePath, Uuid } from './ids.ts';

/** HTTP bodies of cache-indexer under `/v1`. The binary-cache protocol beside it is Nix's own. */

/** Content type of `POST /v1/closures`: the stream that `nix-store --export` writes. */
export const nixExportContentType = 'application/x-nix-export';

/** Most paths that one question or one upload may name. */
export const maxPathsPerRequest = 50_000;

export const MissingPathsQuery = Type.Object(
  { storePaths: Type.Array(StorePath, { maxItems: maxPathsPerRequest }) },
  { additionalProperties: false },
);
export type MissingPathsQuery = Static<typeof MissingPathsQuery>;

/** Those that the cache lacks, in the order asked. The others can't be collected for the next 24 hours. */
export const MissingPaths = Type.Object({ missing: Type.Array(StorePath) });
export type MissingPaths = Static<typeof MissingPaths>;

export const ClosureSummary = Type.Object({
  toplevel: StorePath,
  closureDigest: Sha256Hex,
  pathCount: Type.Integer({ minimum: 1 }),
  /** Sum of the NAR sizes. */
  closureSizeBytes: Type.Integer({ minimum: 1 }),
});
export type ClosureSummary = Static<typeof ClosureSummary>;

/** What an upload became: all of it is stored, and its closures are complete. */
export const UploadResult = Type.Object({
  upload: Uuid,
  /** Paths that are new to the cache. */
  added: Type.Integer({ minimum: 0 }),
  /** Paths that it had already, with the same contents. */
  known: Type.Integer({ minimum: 0 }),
  narSizeBytes: Type.Integer({ minimum: 0 }),
  /** Closures of those uploaded paths that no other uploaded path refers to. */
  closures: Type.Array(ClosureSummary),
});
export type UploadResult = Static<typeof UploadResult>;

/** complete: every path of the closure is here. incomplete: some are missing. unknown: the toplevel itself is. */
export const ClosureStatus = Type.Union([
  Type.Object({ state: Type.Literal('complete'), ...ClosureSummary.properties }),
  Type.Object({
    state: Type.Literal('incomplete'),
    toplevel: StorePath,
    /** At most 1,000 of them. */
    missing: Type.Array(StorePath, { minItems: 1, maxItems: 1000 }),
    missingCount: Type.Integer({ minimum: 1 }),
  }),
  Type.Object({ state: Type.Literal('unknown') }),
]);
export type ClosureStatus = Static<typeof ClosureStatus>;
