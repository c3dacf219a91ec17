import type { ErrorCode } from '@nixfleet/schema';

/** What the exit code of every command says (docs/reference/cli.md). */
export const exitCodes = {
  ok: 0,
  /** A bug, or something that nobody foresaw. */
  unexpected: 1,
  /** The input is wrong: a flag, a fleet definition, a key, a signature. */
  invalid: 2,
  /** The backend or a part of it can't be reached, or took too long. */
  unavailable: 3,
  /** No token, a wrong one, or a role that may not do this. */
  forbidden: 4,
  /** What was asked for isn't there, or is in another state. */
  conflict: 5,
  /** The rollout that was waited for paused, failed or was cancelled. */
  rolloutFailed: 6,
} as const;

const byErrorCode: Record<ErrorCode, number> = {
  invalid_input: exitCodes.invalid,
  invalid_fleet: exitCodes.invalid,
  invalid_signature: exitCodes.invalid,
  too_large: exitCodes.invalid,
  unauthenticated: exitCodes.forbidden,
  forbidden: exitCodes.forbidden,
  not_found: exitCodes.conflict,
  conflict: exitCodes.conflict,
  unavailable: exitCodes.unavailable,
  timed_out: exitCodes.unavailable,
};

export const exitCodeOf = (code: ErrorCode): number => byErrorCode[code];
