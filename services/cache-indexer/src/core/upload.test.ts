import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildStoreObject, hashPartOf, regularFile } from '@nixfleet/nix';
import { FleetError } from '@nixfleet/schema';
import { checkReferences, checkSameContents, planUpload } from './upload.ts';

const object = (name: string, references: readonly string[] = []) =>
  buildStoreObject({ name, tree: regularFile(name), references });
const failsWith = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof FleetError && error.code === code && message.test(error.message);

const outside = object('outside');
const leaf = object('leaf', [outside.storePath]);
const one = object('one', [leaf.storePath]);
const two = object('two', [leaf.storePath]);

test('roots are what nothing else of the upload refers to, outside references what is not in it', () => {
  const self = { ...one, references: [...one.references, one.storePath] };
  const plan = planUpload([self, leaf, two, leaf]);
  assert.deepEqual(plan.roots, [one.storePath, two.storePath].sort());
  assert.deepEqual(plan.outsideReferences, [outside.storePath]);
  assert.deepEqual(
    plan.paths.map((path) => path.storePath),
    [leaf.storePath, one.storePath, two.storePath].sort(),
  );
});

test('an empty upload and one that contradicts itself are refused', () => {
  assert.throws(() => planUpload([]), failsWith('invalid_input', /no path/));
  assert.throws(() => planUpload([leaf, { ...leaf, narHash: one.narHash }]), failsWith('conflict', /twice/));
});

test('references that are nowhere are named', () => {
  const plan = planUpload([leaf]);
  checkReferences(plan, new Set([outside.storePath]));
  assert.throws(() => checkReferences(plan, new Set()), failsWith('conflict', new RegExp(outside.storePath)));
  const many = planUpload([
    object(
      'many',
      Array.from({ length: 25 }, (_, i) => object(`r${i}`).storePath),
    ),
  ]);
  assert.throws(() => checkReferences(many, new Set()), failsWith('conflict', /25 paths .* and 5 more/));
});

test('a path that is here with other contents or under another name is a conflict', () => {
  const plan = planUpload([one]);
  const stored = (path: string, narHash: string) =>
    new Map([[hashPartOf(one.storePath), { storePath: path, narHash }]]);
  checkSameContents(plan, new Map());
  checkSameContents(plan, stored(one.storePath, one.narHash));
  assert.throws(
    () => checkSameContents(plan, stored(one.storePath, two.narHash)),
    failsWith('conflict', /other contents/),
  );
  assert.throws(() => checkSameContents(plan, stored(`${one.storePath}x`, one.narHash)), failsWith('conflict', /-one/));
});
