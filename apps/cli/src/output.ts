import { styleText } from 'node:util';

/** What a command prints: tables for people, one JSON value for programs. */
export interface Output {
  readonly json: boolean;
  readonly print: (text: string) => void;
}

type Format = Parameters<typeof styleText>[0];

/** Colours only where somebody looks: never into a pipe, never with NO_COLOR. */
export const paint = (format: Format, text: string): string => styleText(format, text, { stream: process.stdout });

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly format?: (row: Row) => Format | undefined;
}

/** Left-aligned columns, two spaces apart; the last one is not padded. */
export function formatTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const cells = rows.map((row) => columns.map((column) => column.value(row)));
  const widths = columns.map((column, i) =>
    Math.max(column.title.length, ...cells.map((line) => line[i]?.length ?? 0)),
  );
  const pad = (text: string, i: number): string => (i === columns.length - 1 ? text : text.padEnd(widths[i] ?? 0));
  const head = columns.map((column, i) => paint('bold', pad(column.title, i))).join('  ');
  const lines = rows.map((row, r) =>
    columns
      .map((column, i) => {
        const format = column.format?.(row);
        const text = pad(cells[r]?.[i] ?? '', i);
        return format === undefined ? text : paint(format, text);
      })
      .join('  ')
      .trimEnd(),
  );
  return [head.trimEnd(), ...lines].join('\n');
}

/** Prints rows as a table, or the value itself as JSON. */
export function show<Row>(
  output: Output,
  value: unknown,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  empty: string,
): void {
  if (output.json) output.print(JSON.stringify(value, undefined, 2));
  else output.print(rows.length === 0 ? empty : formatTable(rows, columns));
}

/** `3 s`, `4 min`, `2 h`, `5 d` ago; `-` when there is no time. */
export function formatAgo(time: string | undefined, nowMs = Date.now()): string {
  if (time === undefined) return '-';
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(time)) / 1000));
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} d ago`;
}

/** `1.4 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  return power === 0 ? `${bytes} B` : `${(bytes / 1024 ** power).toFixed(1)} ${units[power]}`;
}

/** The first 12 characters: enough to name a release or rollout. */
export const shortId = (id: string): string => id.slice(0, 12);

/** The name of a store path without the hash. */
export const storeName = (storePath: string | undefined): string =>
  storePath === undefined ? '-' : storePath.slice(44);

/** `[██████----] 6/10`. */
export function formatBar(done: number, failed: number, total: number, width = 24): string {
  const good = total === 0 ? 0 : Math.round((done / total) * width);
  const bad = failed === 0 ? 0 : Math.max(1, Math.round((failed / total) * width));
  const rest = Math.max(0, width - good - bad);
  return `[${paint('green', '█'.repeat(Math.min(good, width - bad)))}${paint('red', '█'.repeat(bad))}${'-'.repeat(rest)}] ${done}/${total}`;
}

/** Rewrites one line on a terminal; prints nothing into a pipe until `done`. */
export class ProgressLine {
  #length = 0;

  show(text: string): void {
    if (!process.stderr.isTTY) return;
    process.stderr.write(`\r${text.padEnd(this.#length)}`);
    this.#length = text.length;
  }

  done(text: string): void {
    if (process.stderr.isTTY) process.stderr.write(`\r${text.padEnd(this.#length)}\n`);
    else process.stderr.write(`${text}\n`);
    this.#length = 0;
  }
}

/** `1 host`, `2 hosts`. */
export const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;
