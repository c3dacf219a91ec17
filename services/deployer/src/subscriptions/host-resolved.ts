import { hostResolved } from '@nixfleet/schema';
import { defineSubscription } from '@nixfleet/service';
import { upsertHost } from '../store/revisions.ts';
import type { DeployerTables } from '../store/tables.ts';

/** Keeps site, role, tags and channel of a host as the newest revision declares them. */
export const onHostResolved = defineSubscription<DeployerTables, typeof hostResolved>({
  event: hostResolved,
  consumer: 'deployer-host-resolved',
  handle: async (tx, { data }) => {
    await upsertHost(tx, data);
  },
});
