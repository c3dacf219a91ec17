// `npm run generate`: files that follow from the code. `--check` says which ones are stale instead of writing them.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
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

/** Types of the gRPC contracts, as proto-loader-gen-types makes them of libs/schema/proto. */
function grpcTypes(): Record<string, string> {
  const scratch = mkdtempSync(join(tmpdir(), 'nixfleet-generate-'));
  try {
    const flags = ['--longs=Number', '--enums=String', '--defaults', '--oneofs', '--grpcLib=@grpc/grpc-js'];
    const extensions = ['--targetFileExtension=.ts', '--importFileExtension=.ts'];
    const include = '--includeDirs=libs/schema/proto';
    const protos = ['nixfleet/deployer/v1/rollouts.proto'];
    const args = [...flags, ...extensions, include, `--outDir=${scratch}`, ...protos];
    execFileSync(join(root, 'node_modules/.bin/proto-loader-gen-types'), args, { cwd: root });
    const made = readdirSync(scratch, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
    return Object.fromEntries(
      made.sort().map((file) => [`libs/schema/src/gen/${file}`, readFileSync(join(scratch, file), 'utf8')]),
    );
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

const files: Readonly<Record<string, string>> = {
  ...grpcTypes(),
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
