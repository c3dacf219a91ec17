import { runService } from '@nixfleet/service';
import { startCacheIndexer } from './service.ts';

await runService(startCacheIndexer);
