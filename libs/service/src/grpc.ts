import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { errorCodes, FleetError, type OperatorRecord, type OperatorRole } from '@nixfleet/schema';
import type { Logger } from './logger.ts';
import type { Operators } from './operators.ts';

export interface GrpcOptions {
  readonly host: string;
  readonly port: number;
  readonly log: Logger;
  readonly services: readonly (readonly [ServiceDefinition, UntypedServiceImplementation])[];
}

const maxMessageBytes = 1024 ** 2;
const maxStreamsPerConnection = 100;
const shutdownGraceMs = 2000;

/**
 * A gRPC server of plain HTTP/2: it listens where the service's HTTP API does, behind the same TLS proxy. Calls under
 * way get a moment to end when it is disposed of; streams watch the server's `signal` and end by themselves.
 */
export async function listenGrpc(options: GrpcOptions): Promise<AsyncDisposable & { readonly address: string }> {
  const server = new Server({
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_concurrent_streams': maxStreamsPerConnection,
    'grpc.keepalive_time_ms': 30_000,
  });
  for (const [definition, handlers] of options.services) server.addService(definition, handlers);
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  const bound = Promise.withResolvers<number>();
  server.bindAsync(`${host}:${options.port}`, ServerCredentials.createInsecure(), (error, port) => {
    if (error === null) bound.resolve(port);
    else bound.reject(error);
  });
  const address = `${host}:${await bound.promise}`;
  options.log.info({ address }, 'listening for gRPC');
  return {
    address,
    async [Symbol.asyncDispose]() {
      const closed = Promise.withResolvers<void>();
      const timer = setTimeout(() => server.forceShutdown(), shutdownGraceMs);
      server.tryShutdown(() => closed.resolve());
      await closed.promise;
      clearTimeout(timer);
    },
  };
}

interface StreamDeps {
  readonly operators: Pick<Operators, 'authorise'>;
  readonly log: Logger;
  /** Aborted when the service stops: streams end then. */
  readonly signal: AbortSignal;
}

type StreamWork<Request, Response> = (
  request: Request,
  operator: OperatorRecord,
  signal: AbortSignal,
) => AsyncIterable<Response>;

const authorizationOf = (metadata: Metadata): string | undefined => {
  const [value] = metadata.get('authorization');
  return typeof value === 'string' ? value : undefined;
};

/** Makes a handler of a server stream: authorised, errors by the product's table, ended with its client or the service. */
export function streamHandler<Request, Response>(
  { operators, log, signal }: StreamDeps,
  role: OperatorRole,
  work: StreamWork<Request, Response>,
): (call: ServerWritableStream<Request, Response>) => void {
  return (call) => {
    const gone = new AbortController();
    call.on('cancelled', () => gone.abort());
    const run = async (): Promise<void> => {
      const operator = operators.authorise(authorizationOf(call.metadata), role);
      const ended = AbortSignal.any([signal, gone.signal]);
      for await (const message of work(call.request, operator, ended)) {
        if (ended.aborted) break;
        // A client that reads slowly holds its own stream back, not the service's memory.
        if (!call.write(message)) await Promise.race([drained(call), aborted(ended)]);
      }
      call.end();
    };
    run().catch((error: unknown) => {
      if (gone.signal.aborted) return;
      if (error instanceof FleetError)
        call.emit('error', { code: errorCodes[error.code].grpcStatus, details: error.message });
      else {
        log.error({ err: error }, 'a gRPC stream failed');
        call.emit('error', { code: status.INTERNAL, details: 'something went wrong on our side' });
      }
    });
  };
}

const drained = (call: NodeJS.EventEmitter): Promise<void> =>
  new Promise((resolve) => call.once('drain', () => resolve()));
const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
