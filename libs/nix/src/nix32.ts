import { FleetError } from '@nixfleet/schema';

/**
 * Nix's base 32: the alphabet lacks e, o, t and u; the last byte comes first (nix: src/libutil/base-nix-32.cc).
 */
const alphabet = '0123456789abcdfghijklmnpqrsvwxyz';
const encodeTable = Uint8Array.from(alphabet, (c) => c.charCodeAt(0));
const invalid = 255;
const decodeTable = new Uint8Array(128).fill(invalid);
for (let i = 0; i < alphabet.length; i++) decodeTable[alphabet.charCodeAt(i)] = i;

/** Characters that `byteCount` bytes take. */
const encodedLength = (byteCount: number): number => Math.ceil((byteCount * 8) / 5);

export function encodeNix32(bytes: Uint8Array): string {
  const length = encodedLength(bytes.length);
  const out = Buffer.allocUnsafe(length);
  for (let n = 0; n < length; n++) {
    const bit = (length - 1 - n) * 5;
    const byte = bit >> 3;
    const shift = bit & 7;
    const pair = (bytes[byte] ?? 0) | ((bytes[byte + 1] ?? 0) << 8);
    out[n] = encodeTable[(pair >> shift) & 31] ?? 0;
  }
  return out.toString('latin1');
}

/**
 * Bytes of a nix32 text. Throws `invalid_input` on a foreign character, on a length that no byte count has, and on
 * bits beyond the last byte, so that every byte string has exactly one spelling.
 */
export function decodeNix32(text: string): Uint8Array {
  const size = Math.floor((text.length * 5) / 8);
  if (encodedLength(size) !== text.length)
    throw new FleetError('invalid_input', `nix32 text of ${text.length} characters is no whole number of bytes`);
  const bytes = new Uint8Array(size);
  for (let n = 0; n < text.length; n++) {
    const digit = decodeTable[text.charCodeAt(n)] ?? invalid;
    if (digit === invalid)
      throw new FleetError('invalid_input', `${JSON.stringify(text[n])} is not a nix32 character (${alphabet})`);
    const bit = (text.length - 1 - n) * 5;
    const byte = bit >> 3;
    const spread = digit << (bit & 7);
    bytes[byte] = (bytes[byte] ?? 0) | (spread & 255);
    if (byte + 1 < size) bytes[byte + 1] = (bytes[byte + 1] ?? 0) | (spread >> 8);
    else if (spread >> 8 !== 0) throw new FleetError('invalid_input', 'nix32 text has bits set beyond its last byte');
  }
  return bytes;
}
