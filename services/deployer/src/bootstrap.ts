import { readFile } from 'node:fs/promises';
import { CreateOperator, FleetError } from '@nixfleet/schema';
import { type Bus, type Database, putOperator } from '@nixfleet/service';
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { selectOperators, upsertOperator } from './store/operators.ts';
import type { DeployerTables } from './store/tables.ts';

/** Operators that exist from the start: without one nobody could make the first. */
export async function readBootstrapOperators(file: string): Promise<CreateOperator[]> {
  if (file === '') return [];
  const value: unknown = JSON.parse(await readFile(file, 'utf8'));
  const List = Type.Array(CreateOperator, { maxItems: 100 });
  if (Value.Check(List, value)) return value;
  const [first] = Value.Errors(List, value);
  throw new FleetError(
    'invalid_input',
    `${file}${first?.instancePath ?? ''}: ${first?.message ?? 'not a list of operators'}`,
  );
}

/** Writes every operator of the table to the bucket that the services read: it can be rebuilt at any time. */
export async function publishOperators(
  db: Database<DeployerTables>,
  bus: Bus,
  bootstrap: readonly CreateOperator[],
): Promise<void> {
  await db.ready;
  const operators = await db.transaction(async (tx) => {
    for (const operator of bootstrap) await upsertOperator(tx, operator);
    return selectOperators(tx);
  });
  for (const { tokenSha256, name, role } of operators) await putOperator(bus, tokenSha256, { name, role });
}
