import { hostResolved } from '@nixfleet/schema';
import { defineSubscription } from '@nixfleet/service';
import { replaceDeclaredJobs } from '../store/backups.ts';
import { upsertDeclaredHost } from '../store/hosts.ts';
import type { TelemetryTables } from '../store/tables.ts';

/** The fleet definition says which hosts exist and which backups run when: nobody configures monitors. */
export const onHostResolved = defineSubscription<TelemetryTables, typeof hostResolved>({
  event: hostResolved,
  consumer: 'telemetry-host-resolved',
  handle: async (tx, { data }) => {
    await upsertDeclaredHost(tx, data.host, data.site);
    await replaceDeclaredJobs(tx, data.host, data.site, data.jobs);
  },
});
