import { CreateOperator } from '@nixfleet/schema';
import { type Bus, type Database, type HttpApp, putOperator } from '@nixfleet/service';
import { Type } from 'typebox';
import { appendAudit } from '../store/audit.ts';
import { upsertOperator } from '../store/operators.ts';
import type { DeployerTables } from '../store/tables.ts';

/** Operators: only the SHA-256 of a token ever reaches us. */
export function addOperatorRoutes(app: HttpApp, db: Database<DeployerTables>, bus: Bus): void {
  app.post(
    '/v1/operators',
    {
      config: { access: 'admin' },
      schema: {
        summary: 'Make a token known, or change its role',
        body: CreateOperator,
        response: { 201: Type.Object({ name: Type.String() }) },
      },
    },
    async (request, reply) => {
      const { name, role, tokenSha256 } = request.body;
      await db.transaction(async (tx) => {
        await upsertOperator(tx, { name, role, tokenSha256 });
        await appendAudit(tx, {
          actor: request.operator?.name ?? '',
          action: 'operator-set',
          subject: `operator ${name}`,
          detail: { role },
        });
      });
      await putOperator(bus, tokenSha256, { name, role });
      return reply.code(201).send({ name });
    },
  );
}
