import { runService } from '@nixfleet/service';
import { readConfig } from './config.ts';
import { startTelemetry } from './service.ts';

await runService((env) => startTelemetry(readConfig(env)));
