import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { FleetError } from '@nixfleet/schema';

/** Who the containers run as. Root hands them what they read; anybody else lets them run as himself. */
export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
}

/** The user of the image; docker-compose.yml has it as its default. */
export const imageUser: ContainerUser = { uid: 1000, gid: 1000 };

export function findContainerUser(): ContainerUser {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  return uid === 0 ? imageUser : { uid, gid };
}

export interface DeploymentFile {
  /** Below the deployment's directory. */
  readonly path: string;
  readonly text: string;
  /** Read by our own containers, which don't run as root. */
  readonly forContainers?: boolean;
  /** Not a secret, and read by a container whose user we don't choose. The directory above keeps others out. */
  readonly open?: boolean;
}

async function writeDeploymentFile(dir: string, file: DeploymentFile, user: ContainerUser): Promise<void> {
  const path = join(dir, file.path);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const mode = file.open === true ? 0o644 : 0o600;
  await writeFile(path, file.text, { mode, flag: 'wx', flush: true });
  await chmod(path, mode);
  if (file.forContainers === true && process.getuid?.() === 0) await chown(path, user.uid, user.gid);
}

const isTaken = (error: unknown): boolean =>
  ['EEXIST', 'ENOTEMPTY', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');

/** Makes the whole directory or none of it; one that holds something already is refused. */
export async function createDeploymentDir(
  dir: string,
  files: readonly DeploymentFile[],
  user: ContainerUser,
): Promise<void> {
  const target = resolve(dir);
  const draft = `${target}.${randomBytes(4).toString('hex')}`;
  try {
    await mkdir(draft, { recursive: true, mode: 0o700 });
    for (const file of files) await writeDeploymentFile(draft, file, user);
    // Takes the place of an empty directory; anything else stops it.
    await rename(draft, target);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (isTaken(error))
      throw new FleetError(
        'conflict',
        `${target} holds something already, and keys are never overwritten: choose another directory, or move it away`,
      );
    throw error;
  }
}

/** Adds a file; false when it is there already. */
export async function addDeploymentFile(dir: string, file: DeploymentFile, user: ContainerUser): Promise<boolean> {
  try {
    await writeDeploymentFile(dir, file, user);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
