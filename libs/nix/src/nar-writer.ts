import { FleetError } from '@nixfleet/schema';
import { checkEntryName, framedSize, frameStrings, narMagic, paddingOf, writeU64 } from './nar-format.ts';
import type { NarNode } from './nar-node.ts';

const head = frameStrings(narMagic);
export const regularHead = frameStrings('(', 'type', 'regular', 'contents');
export const executableHead = frameStrings('(', 'type', 'regular', 'executable', '', 'contents');
export const symlinkHead = frameStrings('(', 'type', 'symlink', 'target');
export const directoryHead = frameStrings('(', 'type', 'directory');
export const entryHead = frameStrings('entry', '(', 'name');
export const entryNode = frameStrings('node');
export const close = frameStrings(')');

/** A node with what both passes need, worked out once: sorted entries, byte lengths. */
type Plan =
  | { readonly type: 'regular'; readonly executable: boolean; readonly contents: Uint8Array }
  | { readonly type: 'symlink'; readonly target: Buffer }
  | { readonly type: 'directory'; readonly entries: readonly { readonly name: Buffer; readonly plan: Plan }[] };

function planOf(node: NarNode): Plan {
  if (node.type === 'regular') return node;
  if (node.type === 'symlink') {
    if (node.target === '' || node.target.includes('\0'))
      throw new FleetError('invalid_input', 'a symlink needs a target without NUL');
    return { type: 'symlink', target: Buffer.from(node.target, 'utf8') };
  }
  const entries = Array.from(node.entries, ([text, child]) => {
    const name = Buffer.from(text, 'utf8');
    checkEntryName(name);
    return { name, plan: planOf(child) };
  });
  return { type: 'directory', entries: entries.sort((a, b) => Buffer.compare(a.name, b.name)) };
}

function sizeOf(plan: Plan): number {
  if (plan.type === 'regular')
    return (plan.executable ? executableHead : regularHead).length + framedSize(plan.contents.length) + close.length;
  if (plan.type === 'symlink') return symlinkHead.length + framedSize(plan.target.length) + close.length;
  let size = directoryHead.length + close.length;
  for (const entry of plan.entries)
    size += entryHead.length + framedSize(entry.name.length) + entryNode.length + sizeOf(entry.plan) + close.length;
  return size;
}

class Writer {
  readonly out: Buffer;
  #offset = 0;

  constructor(size: number) {
    this.out = Buffer.allocUnsafe(size);
  }

  raw(bytes: Uint8Array): void {
    this.out.set(bytes, this.#offset);
    this.#offset += bytes.length;
  }

  framed(bytes: Uint8Array): void {
    writeU64(this.out, bytes.length, this.#offset);
    this.out.set(bytes, this.#offset + 8);
    const end = this.#offset + 8 + bytes.length;
    this.#offset = end + paddingOf(bytes.length);
    this.out.fill(0, end, this.#offset);
  }
}

function write(writer: Writer, plan: Plan): void {
  if (plan.type === 'regular') {
    writer.raw(plan.executable ? executableHead : regularHead);
    writer.framed(plan.contents);
  } else if (plan.type === 'symlink') {
    writer.raw(symlinkHead);
    writer.framed(plan.target);
  } else {
    writer.raw(directoryHead);
    for (const entry of plan.entries) {
      writer.raw(entryHead);
      writer.framed(entry.name);
      writer.raw(entryNode);
      write(writer, entry.plan);
      writer.raw(close);
    }
  }
  writer.raw(close);
}

/**
 * NAR of a tree: the same tree gives the same bytes. One allocation of exactly the size. Throws `invalid_input` on a
 * name or target that no file system takes.
 */
export function encodeNar(node: NarNode): Buffer {
  const plan = planOf(node);
  const writer = new Writer(head.length + sizeOf(plan));
  writer.raw(head);
  write(writer, plan);
  return writer.out;
}
