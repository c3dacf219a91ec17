// `npm run soak`: what takes too long for `npm test`. Prints its seed, then one line of JSON.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { soakFaults } from './faults.ts';

const usage = `npm run soak -- faults [--minutes N] [--seed N]

  faults   kills and pauses random processes during builds and rollouts, and checks what must hold after each
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(randomInt(1_000_000)) },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const [name = 'faults'] = positionals;
const params = { minutes: Number(values.minutes), seed: Number(values.seed) };
const wrong = name !== 'faults' || !(params.minutes > 0) || !Number.isSafeInteger(params.seed);
if (values.help || wrong) {
  process.stdout.write(usage);
  process.exitCode = values.help ? 0 : 2;
} else {
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  say(`soak ${name}: seed ${params.seed}, ${params.minutes} minutes`);
  const results = await soakFaults(params, say);
  process.stdout.write(`${JSON.stringify({ soak: name, params, results })}\n`);
}
