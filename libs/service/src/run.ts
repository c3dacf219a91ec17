import { FleetError } from '@nixfleet/schema';
import type { Health } from './health.ts';
import type { Logger } from './logger.ts';

export interface RunningService extends AsyncDisposable {
  readonly health: Health;
  readonly log: Logger;
  readonly shutdownTimeoutMs: number;
}

/**
 * What every `main.ts` calls. SIGTERM and SIGINT end the service in order: not ready, no new work, work in hand finished,
 * outbox sent, connections closed. A second signal, or the time-out, ends it at once: what is not done is still in
 * Postgres and JetStream.
 */
export async function runService(start: (env: NodeJS.ProcessEnv) => Promise<RunningService>): Promise<void> {
  let service: RunningService;
  try {
    service = await start(process.env);
  } catch (error) {
    process.stderr.write(
      `${error instanceof FleetError ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    process.exitCode = error instanceof FleetError ? 2 : 1;
    return;
  }
  let stopping = false;
  const stop = async (signal: string): Promise<void> => {
    if (stopping) process.exit(130);
    stopping = true;
    service.log.info({ signal }, 'stopping');
    service.health.stop();
    const timer = setTimeout(() => {
      service.log.error('the shutdown took too long, ending now');
      process.exit(1);
    }, service.shutdownTimeoutMs);
    try {
      await service[Symbol.asyncDispose]();
      service.log.info('stopped');
    } catch (error) {
      service.log.error({ err: error }, 'the shutdown failed');
      process.exitCode = 1;
    }
    clearTimeout(timer);
    // A consumer's last fetch may still wait for the server: there is nothing in it.
    process.exit();
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal));
}
