import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');

/** Which packages of ours each package may import: downwards only (ARCHITECTURE in docs/adr/0001). */
const allowed: Record<string, readonly string[]> = {
  schema: [],
  modules: ['schema'],
  scopes: ['schema', 'modules'],
  nix: ['schema'],
  trust: ['schema', 'nix'],
  fleet: ['schema', 'modules', 'scopes', 'nix', 'trust'],
  service: ['schema'],
  infra: ['schema'],
};
const libraries = Object.keys(allowed);

interface Import {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Every import specifier of every source file, read with a pattern: the code has no dynamic imports of ours. */
function listImports(): Import[] {
  const files = globSync('{libs,services,apps}/*/{src,test}/**/*.ts', { cwd: root });
  return files.flatMap((file) => {
    const [group = '', name = ''] = file.split('/');
    const text = readFileSync(join(root, file), 'utf8');
    const specifiers = [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].flatMap((match) => match[1] ?? []);
    return specifiers.map((to) => ({ file, from: `${group}/${name}`, to }));
  });
}

const imports = listImports();
/** Real servers for tests: no source file may import it, every test may. */
const testing = '@nixfleet/infra/testing';
/** Apart from the library's entry: most who read contracts need no gRPC. */
const grpc = '@nixfleet/schema/grpc';

test('only tests import what is for tests', () => {
  assert.deepEqual(
    imports.filter(({ file, to }) => to === testing && !/^[a-z]+\/[a-z-]+\/test\//.test(file)),
    [],
  );
});

test('the import scan sees the whole house', () => {
  assert.ok(imports.length > 300, `only ${imports.length} imports found`);
  const packages = new Set(imports.map((i) => i.from));
  for (const name of ['libs/schema', 'libs/nix', 'services/deployer', 'services/telemetry', 'apps/agent', 'apps/cli'])
    assert.ok(packages.has(name), `${name} has no imports`);
});

test('libraries import only the libraries below them', () => {
  const wrong = imports.filter(({ file, from, to }) => {
    const [group, name = ''] = from.split('/');
    const target = /^@nixfleet\/([a-z-]+)$/.exec(to)?.[1];
    // The servers that integration tests start.
    if (target === 'infra' && file.split('/')[2] === 'test') return false;
    return group === 'libs' && target !== undefined && target !== name && !(allowed[name] ?? []).includes(target);
  });
  assert.deepEqual(wrong, []);
});

test('services and apps import libraries, never each other', () => {
  const wrong = imports.filter(({ from, to }) => {
    const [group] = from.split('/');
    const target = to === testing || to === grpc ? undefined : /^@nixfleet\/(.+)$/.exec(to)?.[1];
    return group !== 'libs' && target !== undefined && !libraries.includes(target);
  });
  assert.deepEqual(wrong, []);
});

test('no import reaches into another package by path', () => {
  const wrong = imports.filter(({ file, from, to }) => {
    if (!to.startsWith('.')) return false;
    return !relative(from, join(dirname(file), to))
      .split('/')
      .every((part) => part !== '..');
  });
  assert.deepEqual(wrong, []);
});

test('every library is listed with what it may import', () => {
  const names = globSync('libs/*', { cwd: root }).map((dir) => dir.slice('libs/'.length));
  assert.deepEqual(names.toSorted(), libraries.toSorted());
});
