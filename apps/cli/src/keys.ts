import { closeSync, existsSync, fsyncSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { parseSecretKey, type SecretKey } from '@nixfleet/nix';
import { FleetError } from '@nixfleet/schema';

/** Writes a new file that only its owner may read; never replaces one. */
export function writeSecretFile(file: string, text: string): void {
  if (existsSync(file)) throw new FleetError('conflict', `${file} exists already; a key is never overwritten`);
  const handle = openSync(file, 'wx', 0o600);
  try {
    writeSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** Reads a secret release key; refuses a file that others may read. */
export function readSecretKey(file: string): SecretKey {
  let text: string;
  try {
    if ((statSync(file).mode & 0o077) !== 0)
      throw new FleetError('invalid_input', `${file} can be read by others: chmod 600 ${file}`);
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof FleetError) throw error;
    throw new FleetError(
      'invalid_input',
      `the release key can't be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return parseSecretKey(text.trim());
}
