import { FleetError } from '@nixfleet/schema';
import { ByteReader, type ByteSource } from './byte-reader.ts';
import type { PathFacts } from './fingerprint.ts';
import { framedSize, frameStrings, writeU64 } from './nar-format.ts';
import { defaultNarLimits, type NarDigest, type NarLimits, NarMeter, rawNar } from './nar-reader.ts';
import { parseStorePath } from './store-path.ts';

/**
 * The stream of `nix-store --export` (nix: src/libstore/export-import.cc): for each path u64 1, the NAR, u64 magic, the
 * store path, its references, its deriver, u64 0; at the end u64 0. Paths come after those they refer to.
 */
const exportMagic = 0x4558_494e;
const maxPathBytes = 256;

export interface ExportLimits {
  readonly maxPaths: number;
  readonly maxReferences: number;
  readonly nar: NarLimits;
}

export const defaultExportLimits: ExportLimits = { maxPaths: 100_000, maxReferences: 50_000, nar: defaultNarLimits };

/** What a stream says of one path. */
export interface ExportedPath extends PathFacts {
  readonly deriver?: string;
}

export interface ReceivedPath<Received> extends ExportedPath {
  /** What the NAR's receiver returned. */
  readonly received: Received;
}

const u64 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(8);
  writeU64(bytes, value, 0);
  return bytes;
};

async function readPath(reader: ByteReader): Promise<string> {
  return parseStorePath((await reader.framed(maxPathBytes, 'store path')).toString('latin1')).path;
}

async function readReferences(reader: ByteReader, limit: number): Promise<string[]> {
  const count = await reader.u64();
  if (count > limit) throw new FleetError('too_large', `a path with ${count} references, at most ${limit} allowed`);
  const references: string[] = [];
  for (let i = 0; i < count; i++) references.push(await readPath(reader));
  return references;
}

async function readTrailer(reader: ByteReader, digest: NarDigest, limits: ExportLimits): Promise<ExportedPath> {
  if ((await reader.u64()) !== exportMagic)
    throw new FleetError('invalid_input', 'not an export stream: no magic number behind a NAR');
  const storePath = await readPath(reader);
  const references = await readReferences(reader, limits.maxReferences);
  const deriver = (await reader.framed(maxPathBytes, 'deriver')).toString('latin1');
  if (deriver !== '') parseStorePath(deriver);
  // Up to Nix 1.x a signature could follow; nobody has written or checked one since.
  if ((await reader.u64()) !== 0) throw new FleetError('invalid_input', 'not an export stream: an old-style signature');
  return { storePath, ...digest, references, ...(deriver === '' ? {} : { deriver }) };
}

/**
 * Reads an export stream path by path. `receive` gets each NAR's raw bytes, checked as they pass, and must read them
 * to the end; the path that they belong to is known only behind them. Throws `invalid_input` on a malformed stream and
 * on bytes behind its end, `too_large` beyond the limits. Nothing of a NAR is buffered.
 */
export async function* readExport<Received>(
  source: ByteSource,
  receive: (nar: AsyncIterable<Uint8Array>) => Promise<Received>,
  limits: ExportLimits = defaultExportLimits,
): AsyncGenerator<ReceivedPath<Received>, void, undefined> {
  await using reader = new ByteReader(source);
  for (let paths = 0; ; paths++) {
    const mark = await reader.u64();
    if (mark === 0) break;
    if (mark !== 1) throw new FleetError('invalid_input', 'not an export stream: expected a path or the end');
    if (paths >= limits.maxPaths) throw new FleetError('too_large', `more than ${limits.maxPaths} paths in one stream`);
    const meter = new NarMeter();
    const nar = rawNar(reader, meter, limits.nar);
    const received = await receive(nar);
    if ((await nar.next()).done !== true) throw new Error('the receiver of a NAR did not read it to its end');
    yield { ...(await readTrailer(reader, meter.digest(), limits)), received };
  }
  if (!(await reader.isAtEnd())) throw new FleetError('invalid_input', 'bytes behind the end of the export stream');
}

export interface ExportItem {
  readonly storePath: string;
  readonly references: readonly string[];
  readonly deriver?: string;
  readonly nar: Uint8Array | AsyncIterable<Uint8Array>;
}

function trailerOf(item: ExportItem): Buffer {
  const references = item.references.toSorted();
  return Buffer.concat([
    u64(exportMagic),
    frameStrings(item.storePath),
    u64(references.length),
    frameStrings(...references),
    frameStrings(item.deriver ?? ''),
    u64(0),
  ]);
}

/** Writes an export stream. The order is the caller's: `nix-store --import` wants references before what refers to them. */
export async function* writeExport(
  items: Iterable<ExportItem> | AsyncIterable<ExportItem>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const item of items) {
    yield u64(1);
    if (item.nar instanceof Uint8Array) yield item.nar;
    else yield* item.nar;
    yield trailerOf(item);
  }
  yield u64(0);
}

/** Bytes of the stream that `writeExport` makes of items whose NAR sizes are known: for a Content-Length. */
export function exportSize(items: Iterable<Omit<ExportItem, 'nar'> & { readonly narSize: number }>): number {
  let size = 8;
  for (const item of items) {
    size += 8 + item.narSize + 8 + framedSize(item.storePath.length) + 8;
    for (const reference of item.references) size += framedSize(reference.length);
    size += framedSize(item.deriver?.length ?? 0) + 8;
  }
  return size;
}
