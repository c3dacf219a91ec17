import { DeadLetter, DeadLetterList, FleetError } from '@nixfleet/schema';
import type { Command } from 'commander';
import type { Api } from '../api.ts';
import { type Context, parseCount } from '../context.ts';
import { type Column, formatAgo, show } from '../output.ts';

interface Row extends DeadLetter {
  readonly service: string;
}

const columns: readonly Column<Row>[] = [
  { title: 'SERVICE', value: (r) => r.service },
  { title: 'SEQUENCE', value: (r) => String(r.sequence) },
  { title: 'CONSUMER', value: (r) => r.consumer },
  { title: 'PUT ASIDE', value: (r) => formatAgo(r.at) },
  { title: 'SUBJECT', value: (r) => r.subject },
  { title: 'REASON', value: (r) => r.reason.slice(0, 160) },
];

/** Services that consume messages. */
const consumersOf = ({ deployer, telemetry }: Context): readonly (readonly [string, Api])[] => [
  ['deployer', deployer],
  ['telemetry', telemetry],
];

/** `nixfleet dead-letters list|replay`. */
export function addDeadLetterCommands(program: Command, context: () => Context): void {
  const deadLetters = program
    .command('dead-letters')
    .description('messages that a service could not handle: what they are and why, and another try');
  deadLetters
    .command('list')
    .description('the oldest hundred of each service')
    .action(async () => {
      const asked = context();
      const rows: Row[] = [];
      for (const [service, api] of consumersOf(asked)) {
        const list = await api.ask(DeadLetterList, '/v1/dead-letters');
        rows.push(...list.deadLetters.map((letter) => ({ service, ...letter })));
      }
      show(asked.output, { deadLetters: rows }, rows, columns, 'no dead letters: every message was handled');
    });
  deadLetters
    .command('replay')
    .description('handle one again, once its cause is gone')
    .argument('<service>', 'deployer or telemetry')
    .argument('<sequence>', 'as list shows it')
    .action(async (service: string, sequence: string) => {
      const asked = context();
      const api = consumersOf(asked).find(([name]) => name === service)?.[1];
      if (api === undefined)
        throw new FleetError('invalid_input', `<service> takes deployer or telemetry, got ${JSON.stringify(service)}`);
      const number = parseCount('<sequence>', sequence, 1, Number.MAX_SAFE_INTEGER);
      const letter = await api.ask(DeadLetter, `/v1/dead-letters/${number}/replay`, { method: 'POST', body: {} });
      const { output } = asked;
      output.print(output.json ? JSON.stringify(letter) : `${letter.subject} was handled by ${letter.consumer}`);
    });
}
