// `npm run --silent bench -- NAME [--flags] --json`: one line `{"bench","params","results","peers"}`. Alone: the list.
import { parseArgs } from 'node:util';
import { fanout } from './fanout.ts';

/** A measurement. Units stand last in each key of its results. */
export interface Bench {
  readonly name: string;
  readonly description: string;
  /** Numeric flags with what they are when they are not given. */
  readonly flags: Readonly<Record<string, number>>;
  readonly run: (flags: Readonly<Record<string, number>>) => Promise<BenchResult>;
}

export interface BenchResult {
  readonly params: Readonly<Record<string, unknown>>;
  readonly results: Readonly<Record<string, number>>;
  /** Others measured in the same run, by name. */
  readonly peers: Readonly<Record<string, unknown>>;
}

const benches: readonly Bench[] = [fanout];

const [name, ...rest] = process.argv.slice(2);
const bench = benches.find((candidate) => candidate.name === name);
if (bench === undefined) {
  if (name !== undefined) process.stderr.write(`there is no bench ${JSON.stringify(name)}\n`);
  for (const { name: known, flags, description } of benches)
    process.stdout.write(
      `${known} ${Object.entries(flags)
        .map(([flag, value]) => `[--${flag} ${value}]`)
        .join(' ')}\n    ${description}\n`,
    );
  process.exitCode = name === undefined ? 0 : 2;
} else {
  const options = Object.fromEntries(Object.keys(bench.flags).map((flag) => [flag, { type: 'string' as const }]));
  const { values: given } = parseArgs({ args: rest, options: { ...options, json: { type: 'boolean' } } });
  const values: Readonly<Record<string, string | boolean | undefined>> = given;
  const flags = Object.fromEntries(
    Object.entries(bench.flags).map(([flag, fallback]) => {
      const text = values[flag];
      const value = typeof text === 'string' ? Number(text) : fallback;
      if (!Number.isInteger(value) || value < 1)
        throw new RangeError(`--${flag} takes a whole number from 1, got ${JSON.stringify(text)}`);
      return [flag, value];
    }),
  );
  const result = await bench.run(flags);
  if (values['json'] === true) process.stdout.write(`${JSON.stringify({ bench: bench.name, ...result })}\n`);
  else {
    for (const [title, fields] of Object.entries(result))
      for (const [key, value] of Object.entries(fields as object))
        process.stdout.write(`${title.padEnd(8)} ${key.padEnd(28)} ${JSON.stringify(value)}\n`);
  }
}
