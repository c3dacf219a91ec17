import { setTimeout as sleep } from 'node:timers/promises';
import { FleetError } from '@nixfleet/schema';

/** How a cache is asked again when it can't answer now. */
export interface RetryPolicy {
  /** All attempts, the first included. */
  readonly attempts: number;
  /** Wait before the second attempt; it doubles, with up to half of it at random. */
  readonly firstDelayMs: number;
  /** Bound on every wait, also on what Retry-After asks for. */
  readonly maxDelayMs: number;
}

export const defaultRetryPolicy: RetryPolicy = { attempts: 5, firstDelayMs: 250, maxDelayMs: 10_000 };

/** As Nix decides: these may pass, other statuses are answers. */
const isTransient = (status: number): boolean =>
  status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505);

/** Retry-After in either form of RFC 9110, section 10.2.3, in ms; undefined when absent or unreadable. */
export function retryAfterMs(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  const atMs = Date.parse(header);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}

/** Wait before attempt `attempt + 1`; `random` in [0, 1). */
export function retryDelayMs(
  policy: RetryPolicy,
  attempt: number,
  afterMs: number | undefined,
  random: number,
): number {
  const backOffMs = policy.firstDelayMs * 2 ** (attempt - 1) * (1 + random / 2);
  return Math.min(policy.maxDelayMs, Math.max(afterMs ?? 0, backOffMs));
}

type Outcome =
  | { readonly response: Response }
  | { readonly problem: string; readonly afterMs: number | undefined; readonly cause?: unknown };

async function attemptOnce(send: () => Promise<Response>, signal: AbortSignal | undefined): Promise<Outcome> {
  try {
    const response = await send();
    if (!isTransient(response.status)) return { response };
    await response.body?.cancel();
    return {
      problem: `answered ${response.status}`,
      afterMs: retryAfterMs(response.headers.get('retry-after'), Date.now()),
    };
  } catch (error) {
    signal?.throwIfAborted();
    const reason =
      error instanceof Error ? (error.cause instanceof Error ? error.cause : error) : new Error(String(error));
    return { problem: reason.message || reason.name, afterMs: undefined, cause: error };
  }
}

/**
 * Sends until there is an answer. Throws `unavailable` with the last problem when the attempts are used up; the
 * signal's reason when it is aborted.
 */
export async function sendWithRetries(
  what: string,
  send: () => Promise<Response>,
  policy: RetryPolicy,
  signal?: AbortSignal,
): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await attemptOnce(send, signal);
    if ('response' in outcome) return outcome.response;
    if (attempt >= policy.attempts)
      throw new FleetError('unavailable', `${what}: ${outcome.problem} (${attempt} attempts)`, {
        cause: outcome.cause,
      });
    const delayMs = retryDelayMs(policy, attempt, outcome.afterMs, Math.random());
    await sleep(delayMs, undefined, signal === undefined ? {} : { signal });
  }
}
