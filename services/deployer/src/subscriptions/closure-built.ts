import { closureBuilt } from '@nixfleet/schema';
import { defineSubscription } from '@nixfleet/service';
import { insertBuiltClosure } from '../store/revisions.ts';
import type { DeployerTables } from '../store/tables.ts';

/** Learns that the cache holds a host's closure: only such closures may be in a release. */
export const onClosureBuilt = defineSubscription<DeployerTables, typeof closureBuilt>({
  event: closureBuilt,
  consumer: 'deployer-closure-built',
  handle: (tx, { data }) => insertBuiltClosure(tx, data),
});
