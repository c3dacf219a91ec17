import { type JetStreamManager, jetstreamManager, type StoredMsg } from '@nats-io/jetstream';
import {
  DeadLetter,
  DeadLetterList,
  deadLetterStream,
  deadLetterSubject,
  FleetError,
  type ServiceName,
} from '@nixfleet/schema';
import { Type } from 'typebox';
import type { Bus } from './bus.ts';
import type { HttpApp } from './http.ts';

/** Handles the data of a message again, in whatever way its consumer does. Throws when it still can't. */
type Replay = (data: Uint8Array, subject: string) => Promise<void>;

const maxListed = 100;

const toDeadLetter = (message: StoredMsg): DeadLetter => ({
  sequence: message.seq,
  consumer: message.subject.split('.').at(-1) ?? '',
  subject: message.header.get('Nixfleet-Subject'),
  reason: message.header.get('Nixfleet-Reason'),
  at: message.time.toISOString(),
  sizeBytes: message.data.length,
});

/** The dead letters of one service: what they are, and another try once their cause is gone. */
export class DeadLetters {
  readonly #service: ServiceName;
  readonly #bus: Bus;
  readonly #replays = new Map<string, Replay>();

  constructor(service: ServiceName, bus: Bus) {
    this.#service = service;
    this.#bus = bus;
  }

  /** Called by each consumer as it starts. */
  register(consumer: string, replay: Replay): void {
    this.#replays.set(consumer, replay);
  }

  /** The oldest hundred. */
  async list(): Promise<DeadLetter[]> {
    const manager = await this.#manager();
    const found: DeadLetter[] = [];
    let after = 1;
    while (found.length < maxListed) {
      const message = await this.#next(manager, after);
      if (message === undefined) break;
      found.push(toDeadLetter(message));
      after = message.seq + 1;
    }
    return found;
  }

  /** Handles one again and takes it off the stream; it stays there when it fails again. */
  async replay(sequence: number): Promise<DeadLetter> {
    const manager = await this.#manager();
    const message = await this.#next(manager, sequence);
    if (message?.seq !== sequence) throw new FleetError('not_found', `${this.#service} has no dead letter ${sequence}`);
    const letter = toDeadLetter(message);
    const replay = this.#replays.get(letter.consumer);
    if (replay === undefined)
      throw new FleetError(
        'conflict',
        `no consumer ${letter.consumer} runs any more: dead letter ${sequence} is from an older version`,
      );
    await replay(message.data, letter.subject);
    await manager.streams.deleteMessage(deadLetterStream.name, sequence);
    return letter;
  }

  async #manager(): Promise<JetStreamManager> {
    return jetstreamManager(await this.#bus.connection());
  }

  async #next(manager: JetStreamManager, from: number): Promise<StoredMsg | undefined> {
    const next_by_subj = deadLetterSubject(this.#service, '*');
    return (await manager.direct.getMessage(deadLetterStream.name, { seq: from, next_by_subj })) ?? undefined;
  }
}

/** `/v1/dead-letters` of a service. */
export function addDeadLetterRoutes(app: HttpApp, deadLetters: DeadLetters): void {
  app.get(
    '/v1/dead-letters',
    {
      config: { access: 'admin' },
      schema: { summary: 'Messages that could not be handled, the oldest hundred', response: { 200: DeadLetterList } },
    },
    async () => ({ deadLetters: await deadLetters.list() }),
  );
  app.post(
    '/v1/dead-letters/:sequence/replay',
    {
      config: { access: 'admin' },
      schema: {
        summary: 'Handle one again; it is gone when that succeeds',
        params: Type.Object({ sequence: Type.Integer({ minimum: 1 }) }),
        response: { 200: DeadLetter },
      },
    },
    async (request) => deadLetters.replay(request.params.sequence),
  );
}
