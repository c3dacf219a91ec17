import serialize from 'canonicalize';

/** RFC 8785 canonical JSON in UTF-8: the bytes that are hashed and signed. */
export function canonicalBytes(value: unknown): Uint8Array {
  const text = serialize(value);
  if (text === undefined) throw new TypeError('a value without a JSON form cannot be canonicalised');
  return Buffer.from(text, 'utf8');
}
