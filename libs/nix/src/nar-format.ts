import { FleetError } from '@nixfleet/schema';

/** What NAR writer and reader share. Format: E. Dolstra, The Purely Functional Software Deployment Model, fig. 5.2. */

export const narMagic = 'nix-archive-1';
const maxNameBytes = 255;

/** Bytes up to the next multiple of 8. */
export const paddingOf = (length: number): number => (8 - (length % 8)) % 8;

/** Bytes that a string takes: u64 length, contents, padding. */
export const framedSize = (length: number): number => 8 + length + paddingOf(length);

/** Little-endian u64 into 8 bytes. */
export function writeU64(target: Buffer, value: number, offset: number): void {
  target.writeUInt32LE(value % 0x1_0000_0000, offset);
  target.writeUInt32LE(Math.floor(value / 0x1_0000_0000), offset + 4);
}

/** Strings one after the other, each framed: the fixed parts of a NAR. */
export function frameStrings(...texts: readonly (string | Uint8Array)[]): Buffer {
  const parts = texts.map((text) => (typeof text === 'string' ? Buffer.from(text, 'utf8') : text));
  const out = Buffer.alloc(parts.reduce((sum, part) => sum + framedSize(part.length), 0));
  let offset = 0;
  for (const part of parts) {
    writeU64(out, part.length, offset);
    out.set(part, offset + 8);
    offset += framedSize(part.length);
  }
  return out;
}

const slash = 0x2f;
const dot = 0x2e;

/** Throws `invalid_input` on a directory entry's name that could leave its directory or that no file system takes. */
export function checkEntryName(name: Uint8Array): void {
  const dots = name.length <= 2 && name.every((byte) => byte === dot);
  if (name.length === 0 || name.length > maxNameBytes || dots || name.includes(slash) || name.includes(0))
    throw new FleetError(
      'invalid_input',
      `NAR entry name ${JSON.stringify(Buffer.from(name.subarray(0, 64)).toString('utf8'))} is not a file name: 1 to ${maxNameBytes} bytes, no / or NUL, not . or ..`,
    );
}
