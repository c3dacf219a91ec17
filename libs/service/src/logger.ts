import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino';

export type { Logger } from 'pino';

const secretNames = ['password', 'token', 'authorization', 'secret', 'seed', 'connectionString'];
/** At the top, in an object, and in an object's object: `req.headers.authorization`. */
const depths = ['', '*.', '*.*.'];

/** JSON lines on standard output; what could be a secret by its name is never written. */
export function createLogger(service: string, level: string, to: DestinationStream = destination(1)): Logger {
  const options = {
    level,
    base: { service },
    timestamp: stdTimeFunctions.isoTime,
    redact: { paths: depths.flatMap((depth) => secretNames.map((name) => depth + name)), censor: '[secret]' },
  };
  return pino(options, to);
}
