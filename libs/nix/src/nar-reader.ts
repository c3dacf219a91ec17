import { createHash } from 'node:crypto';
import { FleetError } from '@nixfleet/schema';
import { ByteReader, type ByteSource } from './byte-reader.ts';
import { formatNixHash, type NixHash } from './hash.ts';
import { checkEntryName, narMagic } from './nar-format.ts';
import type { NarNode } from './nar-node.ts';

/** Bounds on what a NAR may hold. A stream beyond one is refused before the excess is kept anywhere. */
export interface NarLimits {
  readonly maxDepth: number;
  readonly maxEntries: number;
  readonly maxSizeBytes: number;
}

export const defaultNarLimits: NarLimits = {
  maxDepth: 256,
  maxEntries: 5_000_000,
  maxSizeBytes: 256 * 1024 ** 3,
};

const maxTokenBytes = 16;
const maxTargetBytes = 4095;

/** A NAR as it goes by. `entry` names the node that follows; `file-end` and `directory-end` close the last one opened. */
export type NarEvent =
  | { readonly type: 'directory' | 'directory-end' | 'file-end' }
  | { readonly type: 'entry'; readonly name: Buffer }
  | { readonly type: 'symlink'; readonly target: Buffer }
  | { readonly type: 'file'; readonly executable: boolean; readonly sizeBytes: number }
  | { readonly type: 'contents'; readonly bytes: Buffer };

const refuse = (message: string): never => {
  throw new FleetError('invalid_input', `not a valid NAR: ${message}`);
};

async function token(reader: ByteReader): Promise<string> {
  return (await reader.framed(maxTokenBytes, 'NAR token')).toString('latin1');
}

async function expectToken(reader: ByteReader, expected: string): Promise<void> {
  const found = await token(reader);
  if (found !== expected) refuse(`expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`);
}

async function* fileEvents(reader: ByteReader, maxSizeBytes: number): AsyncGenerator<NarEvent> {
  let mark = await token(reader);
  const executable = mark === 'executable';
  if (executable) {
    await expectToken(reader, '');
    mark = await token(reader);
  }
  if (mark !== 'contents') refuse(`expected "contents", found ${JSON.stringify(mark)}`);
  const sizeBytes = await reader.u64();
  if (sizeBytes > maxSizeBytes) refuse(`a file of ${sizeBytes} bytes, at most ${maxSizeBytes} allowed`);
  yield { type: 'file', executable, sizeBytes };
  for (let left = sizeBytes; left > 0; ) {
    const bytes = await reader.some(left);
    left -= bytes.length;
    yield { type: 'contents', bytes };
  }
  await reader.padding(sizeBytes);
  await expectToken(reader, ')');
  yield { type: 'file-end' };
}

async function readTarget(reader: ByteReader): Promise<Buffer> {
  await expectToken(reader, 'target');
  // A copy: the view would change its meaning to a consumer who keeps it past the chunk.
  const target = Buffer.from(await reader.framed(maxTargetBytes, 'symlink target'));
  await expectToken(reader, ')');
  if (target.length === 0 || target.includes(0)) refuse('a symlink target is empty or has a NUL');
  return target;
}

/** The name of the next entry, greater than the one before it: sorted and unique by construction. */
async function readEntryName(reader: ByteReader, previous: Buffer | undefined): Promise<Buffer> {
  await expectToken(reader, '(');
  await expectToken(reader, 'name');
  const name = Buffer.from(await reader.framed(255, 'NAR entry name'));
  checkEntryName(name);
  if (previous !== undefined && Buffer.compare(previous, name) >= 0)
    refuse(`entry ${JSON.stringify(name.toString())} does not come after ${JSON.stringify(previous.toString())}`);
  await expectToken(reader, 'node');
  return name;
}

/** Reads one NAR off the reader and stops right behind it. Throws `invalid_input` on anything out of order. */
export async function* narEvents(
  reader: ByteReader,
  limits: NarLimits = defaultNarLimits,
): AsyncGenerator<NarEvent, void, undefined> {
  await expectToken(reader, narMagic);
  /** Last entry name of each directory that is open. */
  const open: (Buffer | undefined)[] = [];
  let entries = 0;
  do {
    await expectToken(reader, '(');
    await expectToken(reader, 'type');
    const type = await token(reader);
    if (type === 'regular') {
      yield* fileEvents(reader, limits.maxSizeBytes);
    } else if (type === 'symlink') {
      yield { type: 'symlink', target: await readTarget(reader) };
    } else if (type === 'directory') {
      if (open.length >= limits.maxDepth) refuse(`more than ${limits.maxDepth} directories deep`);
      open.push(undefined);
      yield { type: 'directory' };
    } else {
      refuse(`unknown node type ${JSON.stringify(type)}`);
    }
    // Behind a node: the parenthesis of its entry, then the parent's next entry or end. Behind a directory's head: its first entry or end.
    let behindNode = type !== 'directory';
    while (open.length > 0) {
      if (behindNode) await expectToken(reader, ')');
      const mark = await token(reader);
      if (mark === 'entry') {
        entries += 1;
        if (entries > limits.maxEntries) refuse(`more than ${limits.maxEntries} entries`);
        const name = await readEntryName(reader, open.at(-1));
        open[open.length - 1] = name;
        yield { type: 'entry', name };
        break;
      }
      if (mark !== ')') refuse(`expected "entry" or ")", found ${JSON.stringify(mark)}`);
      open.pop();
      yield { type: 'directory-end' };
      behindNode = true;
    }
  } while (open.length > 0);
}

export interface NarDigest {
  readonly narHash: NixHash;
  readonly narSize: number;
}

/** SHA-256 and length of what goes by. */
export class NarMeter {
  readonly #hash = createHash('sha256');
  #size = 0;

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#size += bytes.length;
  }

  get sizeBytes(): number {
    return this.#size;
  }

  /** To be called once. */
  digest(): NarDigest {
    return { narHash: formatNixHash(this.#hash.digest()), narSize: this.#size };
  }
}

/**
 * The raw bytes of one NAR, checked as they pass: what comes out is a complete, well-formed NAR or an
 * `invalid_input`. The reader stops right behind it.
 */
export async function* rawNar(
  reader: ByteReader,
  meter: NarMeter,
  limits: NarLimits = defaultNarLimits,
): AsyncGenerator<Uint8Array, void, undefined> {
  const pending: Uint8Array[] = [];
  reader.setTap((bytes) => {
    meter.update(bytes);
    pending.push(bytes);
  });
  try {
    for await (const event of narEvents(reader, limits)) {
      // Contents are the bulk: passing on at each of them keeps at most one chunk waiting.
      if (event.type === 'contents') reader.flushTap();
      if (pending.length > 0) yield* pending.splice(0);
      if (meter.sizeBytes > limits.maxSizeBytes) refuse(`more than ${limits.maxSizeBytes} bytes`);
    }
  } finally {
    reader.setTap(undefined);
  }
  yield* pending.splice(0);
}

/** Calls `use` with the events of a stream that holds one NAR and nothing else. */
export async function readNar(
  source: ByteSource,
  limits: NarLimits,
  use: (events: AsyncGenerator<NarEvent, void, undefined>) => Promise<void>,
): Promise<NarDigest> {
  await using reader = new ByteReader(source);
  const meter = new NarMeter();
  reader.setTap((bytes) => {
    meter.update(bytes);
    if (meter.sizeBytes > limits.maxSizeBytes) refuse(`more than ${limits.maxSizeBytes} bytes`);
  });
  await use(narEvents(reader, limits));
  reader.setTap(undefined);
  if (!(await reader.isAtEnd())) refuse('bytes behind its end');
  return meter.digest();
}

/** A directory that is still being read. */
interface OpenDirectory {
  readonly name: string;
  readonly entries: Map<string, NarNode>;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Names and targets are bytes to Nix; a tree in memory has text. Throws `invalid_input` when they are no UTF-8. */
function decodeText(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new FleetError('invalid_input', `${JSON.stringify(bytes.toString('latin1'))} is not UTF-8`, { cause: error });
  }
}

/** Parses a whole NAR into a tree in memory. Meant for small ones: limit it. */
export async function parseNar(
  source: ByteSource | Uint8Array,
  limits: NarLimits = { ...defaultNarLimits, maxSizeBytes: 64 * 1024 ** 2 },
): Promise<NarNode> {
  const open: OpenDirectory[] = [];
  let name = '';
  let root: NarNode | undefined;
  let contents: Buffer[] = [];
  let executable = false;
  const place = (at: string, node: NarNode): void => {
    const parent = open.at(-1);
    if (parent === undefined) root = node;
    else parent.entries.set(at, node);
  };
  await readNar(source instanceof Uint8Array ? [source] : source, limits, async (events) => {
    for await (const event of events) {
      if (event.type === 'entry') name = decodeText(event.name);
      else if (event.type === 'symlink') place(name, { type: 'symlink', target: decodeText(event.target) });
      else if (event.type === 'directory') open.push({ name, entries: new Map() });
      else if (event.type === 'file') ({ executable } = event);
      else if (event.type === 'contents') contents.push(Buffer.from(event.bytes));
      else if (event.type === 'file-end') {
        place(name, { type: 'regular', executable, contents: Buffer.concat(contents) });
        contents = [];
      } else {
        const done = open.pop();
        if (done !== undefined) place(done.name, { type: 'directory', entries: done.entries });
      }
    }
  });
  return root ?? refuse('it is empty');
}
