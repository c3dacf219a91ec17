import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  attrsOf,
  bool,
  declareOption,
  EvaluationError,
  evaluateModules,
  freeform,
  int,
  lines,
  listOf,
  type Module,
  mkAfter,
  mkBefore,
  mkDefault,
  mkForce,
  mkIf,
  mkMerge,
  nullOr,
  pkg,
  pkgType,
  refuse,
  str,
  submodule,
} from './index.ts';

const enable = declareOption('svc.enable', bool, { description: 'on', default: false });
const name = declareOption('svc.name', str, { description: 'name' });
const ports = declareOption('svc.ports', listOf(int), { description: 'ports', default: [1] });
const text = declareOption('svc.text', lines, { description: 'text', default: '' });
const users = declareOption(
  'svc.users',
  attrsOf(
    submodule<{ groups: readonly string[]; home: string }>({
      options: [
        declareOption('groups', listOf(str), { description: 'groups', default: [] }),
        declareOption('home', str, { description: 'home', default: (c) => `/home/${c.name}` }),
      ],
    }),
  ),
  { description: 'users', default: {} },
);
const scope: Module = { key: 'svc', origin: { label: 'scope svc' }, options: [enable, name, ports, text, users] };
const layer = (label: string, config: unknown, scalarPriority?: number): Module => ({
  key: label,
  origin: { label, file: `${label}.yaml`, locate: () => ({ line: 7, column: 3 }) },
  config,
  ...(scalarPriority === undefined ? {} : { scalarPriority }),
});
const evaluate = (...modules: Module[]) =>
  evaluateModules([scope, ...modules], { type: freeform, roots: ['networking', 'environment'] });
const errorOf = (work: () => unknown): EvaluationError => {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof EvaluationError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: 'expected an EvaluationError' });
};

const unlessMissing = (error: unknown): void => {
  assert.ok(error instanceof EvaluationError && error.kind === 'missing', String(error));
};

test('later modules come first in lists and lines, and orders sort on top', () => {
  const e = evaluate(
    layer('a', { svc: { ports: [10], text: 'a' } }),
    layer('b', { svc: { ports: [20], text: 'b' } }),
    layer('c', { svc: { ports: mkAfter([30]), text: mkBefore('c') } }),
  );
  assert.deepEqual(e.get(ports), [20, 10, 30]);
  assert.equal(e.get(text), 'c\nb\na');
});

test('inside a submodule the order turns round again', () => {
  const e = evaluate(
    layer('a', { svc: { users: { x: { groups: ['a'] } } } }),
    layer('b', { svc: { users: { x: { groups: ['b'] } } } }),
  );
  assert.deepEqual(e.toPlain(unlessMissing)['svc'], {
    enable: false,
    ports: [1],
    text: '',
    users: { x: { groups: ['a', 'b'], home: '/home/x' } },
  });
});

test('a definition of the best priority wins, whatever the order', () => {
  const e = evaluate(layer('a', { svc: { name: mkForce('a') } }), layer('b', { svc: { name: 'b' } }));
  assert.equal(e.get(name), 'a');
  const explanation = e.explain(['svc', 'name']);
  assert.deepEqual(
    explanation?.definitions.map((d) => [d.origin.label, d.priority, d.winning]),
    [
      ['a', 50, true],
      ['b', 100, false],
    ],
  );
});

test('a layer band orders scalars of layers and leaves lists joined', () => {
  const e = evaluate(
    layer('fleet', { svc: { name: 'fleet', ports: [1] } }, 950),
    layer('site', { svc: { name: 'site', ports: [2] } }, 850),
  );
  assert.equal(e.get(name), 'site');
  assert.deepEqual(e.get(ports), [2, 1]);
});

test('a conflict names both files with their lines', () => {
  const e = evaluate(layer('a', { svc: { name: 'a' } }), layer('b', { svc: { name: 'b' } }));
  const error = errorOf(() => e.get(name));
  assert.equal(error.kind, 'conflict');
  assert.match(error.diagnostics[0]?.message ?? '', /a\.yaml:7.*b\.yaml:7|b\.yaml:7.*a\.yaml:7/);
});

test('an unknown option is an error even under a false condition, and says what is near', () => {
  const e = evaluate(layer('a', mkIf(false, { svc: { prots: [1] } })));
  assert.equal(e.errors.length, 1);
  assert.deepEqual(e.errors[0]?.diagnostics[0], {
    severity: 'error',
    file: 'a.yaml',
    line: 7,
    column: 3,
    optionPath: 'svc.prots',
    message: 'unknown option',
    expected: 'an option that a scope declares',
    found: 'svc.prots',
    hint: 'Did you mean svc.ports?',
  });
});

test('a wrong type names file, line, option, expected and found, only when the value is read', () => {
  const e = evaluate(layer('a', { svc: { ports: 'x' } }));
  assert.equal(e.get(enable), false);
  const [diagnostic] = errorOf(() => e.get(ports)).diagnostics;
  assert.equal(diagnostic?.file, 'a.yaml');
  assert.equal(diagnostic?.line, 7);
  assert.equal(diagnostic?.expected, 'list of signed integer');
  assert.equal(diagnostic?.found, '"x"');
});

test('conditions read options, and a failing one leaves no trace', () => {
  const on = layer('on', { svc: { enable: true } });
  const then = layer('then', mkIf(enable, { svc: { ports: [5] }, networking: { a: { b: 1 } } }));
  assert.deepEqual(evaluate(then).get(ports), [1]);
  assert.equal('networking' in evaluate(then).toPlain(unlessMissing), true);
  assert.deepEqual(evaluate(then).toPlain(unlessMissing)['networking'], {});
  assert.deepEqual(evaluate(on, then).get(ports), [5]);
  assert.equal(evaluate(on, then).read('networking.a.b'), 1);
});

test('references and formats take final values, a cycle is an error', () => {
  const e = evaluate(
    layer('a', {
      svc: {
        name: { _type: 'ref', path: ['networking', 'hostName'] },
        text: { _type: 'format', template: 'is ${svc.name}' },
      },
      networking: { hostName: 'h' },
    }),
  );
  assert.equal(e.get(text), 'is h');
  const cyclic = evaluate(layer('a', { svc: { name: { _type: 'ref', path: ['svc', 'name'] } } }));
  assert.equal(errorOf(() => cyclic.get(name)).kind, 'cycle');
});

test('merge, nested override and freeform lists behave as in Nix', () => {
  const e = evaluate(
    layer('a', mkMerge([{ networking: { x: [1] } }, { networking: { x: [2], y: mkDefault('d') } }])),
    layer('b', { networking: { x: [3], y: 'n' } }),
  );
  assert.deepEqual(e.toPlain(unlessMissing)['networking'], { x: [3, 1, 2], y: 'n' });
});

test('a refusal of a computed value names the option', () => {
  const opt = declareOption('svc.primary', nullOr(str), { description: 'p', default: () => refuse('nobody there') });
  const e = evaluate({ key: 'x', origin: { label: 'x' }, options: [opt] });
  const error = errorOf(() => e.get(opt));
  assert.equal(error.kind, 'refused');
  assert.equal(error.diagnostics[0]?.optionPath, 'svc.primary');
});

test('two definitions of a package conflict even when equal', () => {
  const shell = declareOption('svc.shell', pkgType, { description: 's', default: pkg('bash') });
  const declared: Module = { key: 'x', origin: { label: 'x' }, options: [shell] };
  const e = evaluate(declared, layer('a', { svc: { shell: pkg('zsh') } }), layer('b', { svc: { shell: pkg('zsh') } }));
  assert.equal(errorOf(() => e.get(shell)).kind, 'conflict');
});
