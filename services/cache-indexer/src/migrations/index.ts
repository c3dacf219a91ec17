import { up as initial } from './0001-initial.ts';

/** Every migration, in order. Forward only: a new one is a file and a line here. */
export const migrations = { '0001-initial': { up: initial } };
