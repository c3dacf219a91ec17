import { type LoadedFleet, loadFleetFiles, readFleetDirectory } from '@nixfleet/fleet';

/** Reads and checks a fleet directory; throws `invalid_fleet` with every mistake that its files have. */
export const loadFleet = async (dir: string): Promise<LoadedFleet> => loadFleetFiles(await readFleetDirectory(dir));
