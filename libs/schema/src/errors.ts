/**
 * Every error code of the product and what it means on each wire. `httpStatus` follows RFC 9110; `grpcStatus` is the
 * number of google.rpc.Code; `outcome` says what a consumer of messages does when its handler throws the code.
 */
export const errorCodes = {
  invalid_input: { httpStatus: 422, grpcStatus: 3, outcome: 'dead-letter' },
  invalid_fleet: { httpStatus: 422, grpcStatus: 3, outcome: 'dead-letter' },
  invalid_signature: { httpStatus: 422, grpcStatus: 3, outcome: 'dead-letter' },
  unauthenticated: { httpStatus: 401, grpcStatus: 16, outcome: 'dead-letter' },
  forbidden: { httpStatus: 403, grpcStatus: 7, outcome: 'dead-letter' },
  not_found: { httpStatus: 404, grpcStatus: 5, outcome: 'dead-letter' },
  conflict: { httpStatus: 409, grpcStatus: 9, outcome: 'dead-letter' },
  too_large: { httpStatus: 413, grpcStatus: 8, outcome: 'dead-letter' },
  unavailable: { httpStatus: 503, grpcStatus: 14, outcome: 'retry' },
  timed_out: { httpStatus: 504, grpcStatus: 4, outcome: 'retry' },
} as const satisfies Record<string, ErrorMeaning>;

export interface ErrorMeaning {
  readonly httpStatus: number;
  readonly grpcStatus: number;
  readonly outcome: 'retry' | 'dead-letter';
}

export type ErrorCode = keyof typeof errorCodes;

/** Where something is wrong and what would be right. Every field that is known is given. */
export interface Diagnostic {
  readonly severity: 'error' | 'warning';
  /** One sentence: what is wrong. */
  readonly message: string;
  /** File as the user named it, relative to the fleet directory. */
  readonly file?: string;
  /** 1-based. */
  readonly line?: number;
  readonly column?: number;
  /** `nixfleet.backup.paths`, as Nix writes it. */
  readonly optionPath?: string;
  readonly host?: string;
  readonly expected?: string;
  readonly found?: string;
  /** What to do. */
  readonly hint?: string;
}

export interface FleetErrorOptions {
  readonly cause?: unknown;
  readonly diagnostics?: readonly Diagnostic[];
}

/** The one error that may reach a person or a wire. Anything else that is thrown is a bug. */
export class FleetError extends Error {
  readonly code: ErrorCode;
  readonly diagnostics: readonly Diagnostic[];

  constructor(code: ErrorCode, message: string, options: FleetErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'FleetError';
    this.code = code;
    this.diagnostics = options.diagnostics ?? [];
  }
}

/** `hosts/web-01.yaml:12:3: nixfleet.backup.enable (host web-01): expected a boolean, found "yes". Write true or false.` */
export function formatDiagnostic(d: Diagnostic): string {
  const place =
    d.file === undefined
      ? ''
      : `${d.file}${d.line === undefined ? '' : `:${d.line}`}${d.column === undefined ? '' : `:${d.column}`}: `;
  const option = d.optionPath === undefined ? '' : `${d.optionPath}: `;
  const expectation = [
    d.expected === undefined ? '' : `expected ${d.expected}`,
    d.found === undefined ? '' : `found ${d.found}`,
  ]
    .filter(Boolean)
    .join(', ');
  const host = d.host === undefined ? '' : ` [host ${d.host}]`;
  const hint = d.hint === undefined ? '' : `\n    ${d.hint}`;
  return `${place}${d.severity}: ${option}${d.message}${expectation ? ` (${expectation})` : ''}${host}${hint}`;
}
