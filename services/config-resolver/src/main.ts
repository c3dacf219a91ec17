import { runService } from '@nixfleet/service';
import { readConfig } from './config.ts';
import { startResolver } from './service.ts';

await runService((env) => startResolver(readConfig(env)));
