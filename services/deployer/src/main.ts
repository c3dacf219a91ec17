import { runService } from '@nixfleet/service';
import { readConfig } from './config.ts';
import { startDeployer } from './service.ts';

await runService((env) => startDeployer(readConfig(env)));
