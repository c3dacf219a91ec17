import { setImmediate as nextTurn } from 'node:timers/promises';
import { type BuiltFleet, buildFleetInSteps, loadFleetFiles } from '@nixfleet/fleet';
import type { FleetFile } from '@nixfleet/schema';

/** How long other requests, leases and the connection to NATS wait for a fleet that is being built, ms. */
const turnMs = 25;

/** Builds a fleet of any size while the service goes on answering. Throws `invalid_fleet` with every mistake. */
export async function buildPolitely(files: readonly FleetFile[]): Promise<BuiltFleet> {
  const steps = buildFleetInSteps(loadFleetFiles(files));
  let turnEndsMs = performance.now() + turnMs;
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (performance.now() < turnEndsMs) continue;
    await nextTurn();
    turnEndsMs = performance.now() + turnMs;
  }
}
