import { setTimeout as sleep } from 'node:timers/promises';
import { credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type ErrorCode, errorCodes, FleetError } from '@nixfleet/schema';
import { type RolloutProgress, RolloutsClient } from '@nixfleet/schema/grpc';

const reopenMs = 500;
/** A deployer that restarts is back by then; an address where nobody is never answers. */
const firstAnswerMs = 15_000;

/** The code of ours that stands behind a gRPC status; statuses that we never send are trouble on the way. */
const codeOf = (error: ServiceError): ErrorCode => {
  const sent: number = error.code;
  const codes = Object.keys(errorCodes) as ErrorCode[];
  return codes.find((code) => errorCodes[code].grpcStatus === sent) ?? 'unavailable';
};
const isServiceError = (error: unknown): error is ServiceError =>
  error instanceof Error && typeof (error as Partial<ServiceError>).code === 'number';

/** The network, or a deployer that restarts: another try may succeed. */
const mayPass = (error: ServiceError): boolean =>
  error.code === status.UNAVAILABLE || error.code === status.INTERNAL || error.code === status.CANCELLED;

export interface WatchOptions {
  /** `host:port` of the deployer's gRPC. */
  readonly address: string;
  readonly token: string;
  readonly rollout: string;
  readonly giveUpMs: number;
}

/**
 * A rollout as it moves, until it is over; over a restart of the deployer too. Ends early at the deadline; throws what
 * the deployer refuses.
 */
export async function* watchRollout({
  address,
  token,
  rollout,
  giveUpMs,
}: WatchOptions): AsyncGenerator<RolloutProgress> {
  const client = new RolloutsClient(address, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const openedMs = Date.now();
  let answered = false;
  try {
    for (;;) {
      try {
        for await (const progress of client.Watch({ rollout }, metadata, { deadline: giveUpMs })) {
          answered = true;
          yield progress as RolloutProgress;
          if ((progress as RolloutProgress).over) return;
        }
      } catch (error) {
        if (!isServiceError(error)) throw error;
        if (error.code === status.DEADLINE_EXCEEDED || (mayPass(error) && Date.now() >= giveUpMs)) return;
        if (!mayPass(error)) throw new FleetError(codeOf(error), error.details, { cause: error });
        if (!answered && Date.now() - openedMs > firstAnswerMs)
          throw new FleetError(
            'unavailable',
            `the deployer's gRPC at ${address} is not reachable: ${error.details}. The rollout goes on: nixfleet rollout status ${rollout.slice(0, 12)}`,
            { cause: error },
          );
      }
      if (Date.now() >= giveUpMs) return;
      await sleep(reopenMs);
    }
  } finally {
    client.close();
  }
}
