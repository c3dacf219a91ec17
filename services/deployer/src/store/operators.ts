import type { CreateOperator } from '@nixfleet/schema';
import type { Transaction } from 'kysely';
import type { DeployerTables } from './tables.ts';

type Tx = Transaction<DeployerTables>;

export async function upsertOperator(tx: Tx, { name, role, tokenSha256 }: CreateOperator): Promise<void> {
  await tx
    .insertInto('operator')
    .values({ token_sha256: tokenSha256, name, role })
    .onConflict((conflict) => conflict.column('token_sha256').doUpdateSet({ name, role }))
    .execute();
}

export async function selectOperators(tx: Tx): Promise<CreateOperator[]> {
  const rows = await tx.selectFrom('operator').selectAll().execute();
  return rows.map((row) => ({ tokenSha256: row.token_sha256, name: row.name, role: row.role }));
}
