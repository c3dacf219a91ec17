#!/usr/bin/env node
import { FleetError } from '@nixfleet/schema';
import { pino } from 'pino';
import { readConfig, usage } from './config.ts';
import { runAgent } from './service.ts';

try {
  const config = readConfig(process.argv.slice(2), process.env);
  if (config === 'help') {
    process.stdout.write(usage);
  } else {
    const log = pino({
      level: config.logLevel,
      base: { service: 'agent', host: config.host },
      timestamp: pino.stdTimeFunctions.isoTime,
    });
    const stop = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (stop.signal.aborted) process.exit(130);
        log.info({ signal }, 'stopping');
        stop.abort();
      });
    }
    await runAgent(config, log, stop.signal).catch((error: unknown) => {
      if (!stop.signal.aborted) throw error;
    });
  }
} catch (error) {
  process.stderr.write(
    `${error instanceof FleetError ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exitCode = error instanceof FleetError ? 2 : 1;
}
