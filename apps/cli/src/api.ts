import { type Diagnostic, type ErrorCode, errorCodes, FleetError } from '@nixfleet/schema';
import type { Static, TSchema } from 'typebox';
import { Value } from 'typebox/value';

export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly body?: unknown;
  readonly timeoutMs?: number;
}

interface ErrorBody {
  readonly error?: { readonly code?: string; readonly message?: string; readonly diagnostics?: readonly Diagnostic[] };
}

const isErrorCode = (code: string | undefined): code is ErrorCode => code !== undefined && code in errorCodes;

/** One service's HTTP API, answers checked against the contract that the service itself declares. */
export class Api {
  readonly #name: string;
  readonly #url: string;
  readonly #token: () => string;

  constructor(name: string, url: string, token: () => string) {
    this.#name = name;
    this.#url = url.replace(/\/+$/, '');
    this.#token = token;
  }

  async ask<Schema extends TSchema>(schema: Schema, path: string, request: ApiRequest = {}): Promise<Static<Schema>> {
    const response = await this.#send(path, request);
    const text = await response.text();
    let value: unknown;
    try {
      value = text === '' ? undefined : JSON.parse(text);
    } catch {
      throw new FleetError(
        'unavailable',
        `${this.#name} at ${this.#url}${path} answered ${response.status} with no JSON`,
      );
    }
    if (!response.ok) this.#fail(response, path, value as ErrorBody);
    if (Value.Check(schema, value)) return value;
    const [first] = Value.Errors(schema, value);
    throw new FleetError(
      'unavailable',
      `${this.#name} at ${this.#url}${path} answered what this CLI does not know (${first?.instancePath ?? ''} ${first?.message ?? ''}): are both of one version?`,
    );
  }

  async #send(path: string, { method = 'GET', body, timeoutMs = 30_000 }: ApiRequest): Promise<Response> {
    try {
      return await fetch(`${this.#url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${this.#token()}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        signal: AbortSignal.timeout(timeoutMs),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      if (error instanceof FleetError) throw error;
      const cause =
        error instanceof Error && error.cause instanceof Error
          ? error.cause.message
          : error instanceof Error
            ? error.message
            : String(error);
      throw new FleetError(
        'unavailable',
        `${this.#name} at ${this.#url} is not reachable: ${cause}. Is the backend up (npm start)?`,
      );
    }
  }

  #fail(response: Response, path: string, { error }: ErrorBody): never {
    const code = isErrorCode(error?.code) ? error.code : response.status >= 500 ? 'unavailable' : 'invalid_input';
    throw new FleetError(code, error?.message ?? `${this.#name} answered ${response.status} to ${path}`, {
      diagnostics: error?.diagnostics ?? [],
    });
  }
}
