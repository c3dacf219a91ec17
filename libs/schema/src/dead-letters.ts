import { type Static, Type } from 'typebox';

/** A message that a consumer could not handle, as it was put aside. */
export const DeadLetter = Type.Object({
  /** In the dead-letter stream; names it for a replay. */
  sequence: Type.Integer({ minimum: 1 }),
  consumer: Type.String(),
  subject: Type.String(),
  reason: Type.String(),
  at: Type.String(),
  sizeBytes: Type.Integer(),
});
export type DeadLetter = Static<typeof DeadLetter>;
export const DeadLetterList = Type.Object({ deadLetters: Type.Array(DeadLetter) });
export type DeadLetterList = Static<typeof DeadLetterList>;
