import { type Static, Type } from 'typebox';

/** readonly < deploy < admin. */
export const operatorRoles = ['readonly', 'deploy', 'admin'] as const;
export const OperatorRole = Type.Enum(operatorRoles);
export type OperatorRole = Static<typeof OperatorRole>;

/** What the operators bucket says of a token (its key is the SHA-256 of the token). */
export const OperatorRecord = Type.Object(
  { name: Type.String({ minLength: 1, maxLength: 128 }), role: OperatorRole },
  { additionalProperties: false },
);
export type OperatorRecord = Static<typeof OperatorRecord>;

/** True when `role` may do what `needed` may. */
export const roleCovers = (role: OperatorRole, needed: OperatorRole): boolean =>
  operatorRoles.indexOf(role) >= operatorRoles.indexOf(needed);
