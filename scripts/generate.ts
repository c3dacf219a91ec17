// `npm run generate`: files that follow from the code. `--check` says which ones are stale instead of writing them.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { editorSchemas, optionReference } from '../libs/fleet/src/index.ts';

const root = join(import.meta.dirname, '..');

const option = (o: ReturnType<typeof optionReference>[number]): string =>
  `| \`${o.path}\` | ${o.type} | ${o.default === '' ? '' : `\`${o.default}\``} | ${o.description} |`.replaceAll(
    /\s*\n\s*/g,
    ' ',
  );

const optionsPage = (): string => `# Options

Every option of the scopes that NixFleet ships. Written by \`npm run generate\`; \`nixfleet explain HOST OPTION\` says what a
host's value is and why.

| option | type | default | what it is |
| --- | --- | --- | --- |
${optionReference().map(option).join('\n')}
`;

const files: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    Object.entries(editorSchemas()).map(([name, schema]) => [
      `docs/reference/${name}.schema.json`,
      `${JSON.stringify(schema, undefined, 2)}\n`,
    ]),
  ),
  'docs/reference/options.md': optionsPage(),
};

const read = (file: string): string | undefined => {
  try {
    return readFileSync(join(root, file), 'utf8');
  } catch {
    return undefined;
  }
};

const stale = Object.entries(files).filter(([file, text]) => read(file) !== text);
if (process.argv.includes('--check')) {
  for (const [file] of stale) process.stdout.write(`${file} is stale: npm run generate\n`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  for (const [file, text] of stale) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
    process.stdout.write(`wrote ${file}\n`);
  }
}
