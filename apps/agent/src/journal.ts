import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type AgentReport,
  AgentReport as AgentReportSchema,
  AttemptReason,
  FleetError,
  Intent,
  StorePath,
  Uuid,
} from '@nixfleet/schema';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';

/** A system that has passed its health checks here. */
const ConfirmedSystem = Type.Object({ toplevel: StorePath, generation: Type.Integer({ minimum: 1 }) });
export type ConfirmedSystem = Static<typeof ConfirmedSystem>;

/** Where an attempt stands. Written and synced before the step that it names begins. */
const AttemptPhase = Type.Union([
  Type.Literal('accepted'),
  Type.Literal('fetching'),
  Type.Literal('activating'),
  Type.Literal('verifying'),
  Type.Literal('returning'),
  Type.Literal('done'),
]);
export type AttemptPhase = Static<typeof AttemptPhase>;

const Attempt = Type.Object({
  intent: Intent,
  phase: AttemptPhase,
  reportSequence: Type.Integer({ minimum: 0 }),
  /** Where to return to: the system confirmed when the attempt began, never overwritten while it lasts. */
  returnTo: Type.Optional(ConfirmedSystem),
  generation: Type.Optional(Type.Integer({ minimum: 1 })),
  /** Unix milliseconds; set with phase `verifying`. */
  confirmDeadlineMs: Type.Optional(Type.Integer()),
  /** Why phase `returning` was entered. */
  reason: Type.Optional(AttemptReason),
  detail: Type.Optional(Type.String()),
  outcome: Type.Optional(Type.Union([Type.Literal('confirmed'), Type.Literal('reverted'), Type.Literal('failed')])),
  /** Unix milliseconds until which one return may be asked for; set on confirmation. */
  returnWindowEndsMs: Type.Optional(Type.Integer()),
  returned: Type.Boolean(),
});
export type Attempt = Static<typeof Attempt>;

const JournalState = Type.Object({
  version: Type.Literal(1),
  /** Highest intent acted upon. */
  intentSequence: Type.Integer({ minimum: 0 }),
  /** Highest intent that was refused: it is not refused again on every start. */
  refusedSequence: Type.Integer({ minimum: 0 }),
  /** Highest statement sequence accepted. */
  statementSequence: Type.Integer({ minimum: 0 }),
  lastGeneration: Type.Integer({ minimum: 0 }),
  confirmed: Type.Optional(ConfirmedSystem),
  attempt: Type.Optional(Attempt),
  /** Reports that the centre has not acknowledged yet, oldest first. */
  unsent: Type.Array(AgentReportSchema),
});
export type JournalState = Static<typeof JournalState>;

/** Enough for an attempt a minute over half a day without the centre; beyond it the oldest go first. */
const maxUnsentReports = 4096;

/** A journal is a few KiB; one that could not send for long may be more. */
const reserveBytes = 64 * 1024;

const emptyState: JournalState = {
  version: 1,
  intentSequence: 0,
  refusedSequence: 0,
  statementSequence: 0,
  lastGeneration: 0,
  unsent: [],
};

/**
 * The agent's durable memory: one JSON file, replaced atomically and synced before any call returns. kill -9 at any
 * moment leaves the state before or the state after.
 */
export class Journal {
  readonly #file: string;
  #state: JournalState;
  #writing: Promise<void> = Promise.resolve();

  private constructor(file: string, state: JournalState) {
    this.#file = file;
    this.#state = state;
  }

  static async open(stateDir: string): Promise<Journal> {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    const file = join(stateDir, 'journal.json');
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (text === undefined) return new Journal(file, emptyState);
    const state: unknown = JSON.parse(text);
    if (!Value.Check(JournalState, state)) {
      const [first] = Value.Errors(JournalState, state);
      throw new FleetError(
        'invalid_input',
        `${file}: not a journal of this agent (${first?.instancePath ?? ''} ${first?.message ?? ''}); move it away to start afresh`,
      );
    }
    return new Journal(file, state);
  }

  get state(): JournalState {
    return this.#state;
  }

  /** Applies a change and returns once it is on disk. Calls are serialised. */
  update(change: (state: JournalState) => JournalState): Promise<void> {
    const write = this.#writing.then(async () => {
      const next = change(this.#state);
      await this.#write(next);
      this.#state = next;
    });
    this.#writing = write.catch(() => undefined);
    return write;
  }

  /** On a full disk the journal lives from its reserve: the centre must hear why nothing goes on. */
  async #write(state: JournalState): Promise<void> {
    try {
      await this.#replace(state);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      await rm(this.#reserve, { force: true });
      await this.#replace(state);
      return;
    }
    // Made again once there is space; without it the journal is written all the same.
    await writeFile(this.#reserve, Buffer.alloc(reserveBytes, 1), { flag: 'wx', mode: 0o600 }).catch(
      async (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') await rm(this.#reserve, { force: true });
      },
    );
  }

  get #reserve(): string {
    return `${this.#file}.reserve`;
  }

  async #replace(state: JournalState): Promise<void> {
    const temporary = `${this.#file}.next`;
    const handle = await open(temporary, 'w', 0o600);
    try {
      await handle.writeFile(JSON.stringify(state));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, this.#file);
    const directory = await open(join(this.#file, '..'), 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

/** The state with one more report to send; the oldest unsent one is dropped when the journal is full. */
export function withReport(state: JournalState, report: AgentReport): JournalState {
  return { ...state, unsent: [...state.unsent, report].slice(-maxUnsentReports) };
}

/** The boot id of the kernel, or one of this process where there is none to read. */
export async function readBootId(): Promise<string> {
  const text = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => randomUUID());
  const id = text.trim();
  return Value.Check(Uuid, id) ? id : randomUUID();
}
