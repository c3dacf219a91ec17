import { FleetError } from '@nixfleet/schema';

/** Cursors of lists that are sorted by a time: the time itself, opaque to clients. */
export const cursorOfTime = (time: string): string => Buffer.from(time, 'utf8').toString('base64url');

export function timeOfCursor(cursor: string | undefined): Date | undefined {
  if (cursor === undefined) return undefined;
  const time = new Date(Buffer.from(cursor, 'base64url').toString('utf8'));
  if (Number.isNaN(time.getTime()))
    throw new FleetError('invalid_input', `${JSON.stringify(cursor)} is not a cursor of this list`);
  return time;
}

/** `nextCursor` when the page is full: there may be more. */
export const nextCursor = <Row>(
  rows: readonly Row[],
  limit: number,
  cursorOf: (row: Row) => string,
): { nextCursor?: string } => {
  const last = rows.at(-1);
  return rows.length < limit || last === undefined ? {} : { nextCursor: cursorOf(last) };
};
