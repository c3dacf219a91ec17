/** Everything that a stream gives, in order. */
export async function toList<T>(source: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of source) list.push(item);
  return list;
}

export const toBytes = async (source: AsyncIterable<Uint8Array>): Promise<Buffer> =>
  Buffer.concat(await toList(source));
