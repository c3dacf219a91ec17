/** A command of a tutorial and the output that stands below it. */
export interface TutorialStep {
  readonly command: string;
  readonly expected: readonly string[];
  /** Runs on in a terminal of its own. */
  readonly inBackground: boolean;
  /** Index of the first line of output, and of the line after the last. */
  readonly lines: readonly [number, number];
}

/** Commands and outputs of the `console` blocks of a page. */
export function readTutorial(page: string): TutorialStep[] {
  const steps: { command: string; expected: string[]; inBackground: boolean; start: number }[] = [];
  let block: 'none' | 'console' | 'background' = 'none';
  for (const [i, line] of page.split('\n').entries()) {
    const fence = /^```(.*)$/.exec(line)?.[1];
    if (fence !== undefined) {
      block = fence === 'console' ? 'console' : fence === 'console terminal-2' ? 'background' : 'none';
      continue;
    }
    if (block === 'none') continue;
    if (line.startsWith('$ '))
      steps.push({ command: line.slice(2), expected: [], inBackground: block === 'background', start: i + 1 });
    else steps.at(-1)?.expected.push(line);
  }
  return steps.map(({ start, ...step }) => ({ ...step, lines: [start, start + step.expected.length] }));
}

/** What differs from run to run: ids, hashes, times, durations, ports, widths of columns. */
const patterns: readonly (readonly [RegExp, string])[] = [
  [/\/nix\/store\/[0-9a-df-np-sv-z]{32}-/g, '/nix/store/HASH-'],
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, 'UUID'],
  [/\b[0-9a-f]{8}-[0-9a-f]{3}\b/g, 'UUID'],
  [/\b[0-9a-f]{64}\b/g, 'DIGEST'],
  [/\b[0-9a-f]{12}\b/g, 'ID'],
  [/\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z/g, 'TIME'],
  [/^\s*\d+\.\d s /g, 'SECONDS '],
  [/\b\d+ (s|min|h|d) ago\b/g, 'AGO'],
  [/127\.0\.0\.1:\d+/g, 'ADDRESS'],
  [/\b\d+(\.\d+)? KiB\b/g, 'SIZE'],
  [/\s+/g, ' '],
];

export const normalise = (line: string): string =>
  patterns.reduce((text, [pattern, word]) => text.replaceAll(pattern, word), line).trim();

/** Ids that the page shows, by what the run gave in their place. */
export function matchIds(expected: readonly string[], actual: readonly string[]): Map<string, string> {
  const ids = new Map<string, string>();
  const idsOf = (line: string): string[] => line.match(/\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b/g) ?? [];
  for (const [i, line] of expected.entries()) {
    const found = idsOf(actual[i] ?? '');
    for (const [n, id] of idsOf(line).entries()) {
      const own = found[n];
      if (own !== undefined) ids.set(id.slice(0, 12), own.slice(0, 12));
    }
  }
  return ids;
}
