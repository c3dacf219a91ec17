import type { Static, TSchema } from 'typebox';
import type { EventContract, ServiceName } from './events.ts';

/** NATS subjects, streams and buckets: the only place that spells them. */

const seconds = 1_000_000_000;
const days = 86_400 * seconds;

export interface StreamContract {
  readonly name: string;
  readonly subjects: readonly string[];
  /** Nanoseconds, as JetStream wants it. 0 = no limit. */
  readonly maxAgeNanos: number;
  readonly maxBytes: number;
  /** 1 keeps only the last message of each subject. */
  readonly maxMsgsPerSubject: number;
  readonly allowDirect: boolean;
  /** Window in which JetStream drops a repeated message id, nanoseconds. */
  readonly duplicateWindowNanos: number;
}

const eventStream = (service: ServiceName): StreamContract => ({
  name: `NIXFLEET_${service.toUpperCase()}`,
  subjects: [`nixfleet.${service}.>`],
  maxAgeNanos: 30 * days,
  maxBytes: 4 * 1024 ** 3,
  maxMsgsPerSubject: -1,
  allowDirect: false,
  duplicateWindowNanos: 120 * seconds,
});

export const intentStream: StreamContract = {
  name: 'NIXFLEET_INTENT',
  subjects: ['nixfleet.intent.v1.*.*'],
  maxAgeNanos: 0,
  maxBytes: 2 * 1024 ** 3,
  maxMsgsPerSubject: 1,
  allowDirect: true,
  duplicateWindowNanos: 120 * seconds,
};

export const reportStream: StreamContract = {
  name: 'NIXFLEET_REPORT',
  subjects: ['nixfleet.agent.report.v1.*.*'],
  maxAgeNanos: 7 * days,
  maxBytes: 4 * 1024 ** 3,
  maxMsgsPerSubject: -1,
  allowDirect: false,
  duplicateWindowNanos: 120 * seconds,
};

export const deadLetterStream: StreamContract = {
  name: 'NIXFLEET_DEAD_LETTER',
  subjects: ['nixfleet.dead-letter.>'],
  maxAgeNanos: 30 * days,
  maxBytes: 1024 ** 3,
  maxMsgsPerSubject: -1,
  allowDirect: true,
  duplicateWindowNanos: 120 * seconds,
};

/** Every stream, made by whichever service comes first. */
export const streams: readonly StreamContract[] = [
  eventStream('resolver'),
  eventStream('deployer'),
  eventStream('cache'),
  eventStream('telemetry'),
  intentStream,
  reportStream,
  deadLetterStream,
];

/** The stream that an event is published to. */
export const streamOf = (contract: Pick<EventContract, 'service'>): string =>
  `NIXFLEET_${contract.service.toUpperCase()}`;

const subjectHead = (contract: Pick<EventContract, 'service' | 'type' | 'version'>): string =>
  `nixfleet.${contract.service}.${contract.type}.v${contract.version}`;

/** Subject of one event; throws when a key token could not be one, which is a bug of the contract. */
export function eventSubject<Data extends TSchema>(contract: EventContract<Data>, data: Static<Data>): string {
  const key = contract.key(data);
  for (const token of key) {
    if (!/^[a-z0-9-]{1,64}$/.test(token))
      throw new Error(`subject token ${JSON.stringify(token)} of ${contract.type} is not [a-z0-9-]{1,64}`);
  }
  return [subjectHead(contract), ...key].join('.');
}

/** What a consumer of the event filters on. */
export const eventFilter = (contract: Pick<EventContract, 'service' | 'type' | 'version'>): string =>
  `${subjectHead(contract)}.>`;

export const intentSubject = (site: string, host: string): string => `nixfleet.intent.v1.${site}.${host}`;
export const reportSubject = (site: string, host: string): string => `nixfleet.agent.report.v1.${site}.${host}`;
export const heartbeatSubject = (site: string, host: string): string => `nixfleet.agent.heartbeat.v1.${site}.${host}`;
export const reportFilter = 'nixfleet.agent.report.v1.*.*';
export const heartbeatFilter = 'nixfleet.agent.heartbeat.v1.*.*';
export const deadLetterSubject = (service: ServiceName, consumer: string): string =>
  `nixfleet.dead-letter.${service}.${consumer}`;
/** JetStream's direct get of the last message of a subject (ADR-31): what an agent asks for at its start. */
export const intentDirectGetSubject = (site: string, host: string): string =>
  `$JS.API.DIRECT.GET.${intentStream.name}.${intentSubject(site, host)}`;
/** Inbox prefix of an agent: the only inbox it may subscribe to. */
export const agentInboxPrefix = (host: string): string => `_INBOX_agent_${host}`;
/** KV bucket of operators, written by the deployer alone: key = SHA-256 hex of the token, value = OperatorRecord. */
export const operatorBucket = 'nixfleet_operators';
