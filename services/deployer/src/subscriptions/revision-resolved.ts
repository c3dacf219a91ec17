import { revisionResolved } from '@nixfleet/schema';
import { defineSubscription } from '@nixfleet/service';
import { insertRevision } from '../store/revisions.ts';
import type { DeployerTables } from '../store/tables.ts';

/** Learns the channels and their policies. */
export const onRevisionResolved = defineSubscription<DeployerTables, typeof revisionResolved>({
  event: revisionResolved,
  consumer: 'deployer-revision-resolved',
  handle: (tx, { data }) => insertRevision(tx, data),
});
