import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readYamlFile } from '../src/yaml-file.ts';

const read = (text: string): unknown => {
  const { file, diagnostics } = readYamlFile('a.yaml', text);
  assert.deepEqual(diagnostics, []);
  return file?.value;
};

test('tags become the modifiers that Nix itself builds', () => {
  assert.deepEqual(
    read(`force: !force true
default: !default [1, 2]
text: !force "12"
scalar: !override 60 zsh
number: !override 60 12
list: !override [60, [a]]
before: !before [x]
after: !after y
ref: !ref a.b
pkg: !pkg zsh
format: !format "x \${a.b}"
if: !if [a.b, 1]
`),
    {
      force: { _type: 'override', priority: 50, content: true },
      default: { _type: 'override', priority: 1000, content: [1, 2] },
      text: { _type: 'override', priority: 50, content: '12' },
      scalar: { _type: 'override', priority: 60, content: 'zsh' },
      number: { _type: 'override', priority: 60, content: 12 },
      list: { _type: 'override', priority: 60, content: ['a'] },
      before: { _type: 'order', priority: 500, content: ['x'] },
      after: { _type: 'order', priority: 1500, content: 'y' },
      ref: { _type: 'ref', path: ['a', 'b'] },
      pkg: { _type: 'pkg', name: 'zsh' },
      format: { _type: 'format', template: 'x ${a.b}' },
      if: { _type: 'if', condition: { _type: 'ref', path: ['a', 'b'] }, content: 1 },
    },
  );
});

test('members know their line and column, also inside tags and flow style', () => {
  const { file } = readYamlFile('a.yaml', 'a:\n  b: !force\n    c: [1, { d: 2 }]\n');
  assert.ok(file);
  const a = (file.value as { a: { b: { content: { c: [number, object] } } } }).a;
  assert.deepEqual(file.locate(a, 'b'), { line: 2, column: 3 });
  assert.deepEqual(file.locate(a.b.content, 'c'), { line: 3, column: 5 });
  assert.deepEqual(file.locate(a.b.content.c[1], 'd'), { line: 3, column: 14 });
});

test('what YAML forbids and tags that are unknown are told with their place', () => {
  const first = (text: string) => readYamlFile('a.yaml', text).diagnostics[0];
  assert.deepEqual([first('a: 1\na: 2\n')?.line, first('a: 1\na: 2\n')?.found], [2, 'DUPLICATE_KEY']);
  const unknown = first('a: !frce 1\n');
  assert.deepEqual([unknown?.line, unknown?.found], [1, '!frce']);
  assert.equal(first('a: !if [1]\n')?.expected, '!if [nixfleet.backup.enable, value]');
  assert.equal(first('__proto__: 1\n')?.message, 'a key must be a name');
});

test('aliases that grow without end are refused', () => {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 7; i++)
    lines.push(
      `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(', ')}]`,
    );
  const { file, diagnostics } = readYamlFile('a.yaml', `${lines.join('\n')}\n`);
  assert.equal(file, undefined);
  assert.match(diagnostics[0]?.message ?? '', /more than 200000 values/);
});
