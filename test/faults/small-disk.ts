import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, open, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

function mount(dir: string, sizeKiB: number): void {
  const options = `size=${sizeKiB}k,mode=0711`;
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'nixfleet-test', dir], { stdio: 'ignore' });
}

const unmount = (dir: string): void => void execFileSync('umount', ['--lazy', dir], { stdio: 'ignore' });

/** Why small disks can't be had here; false when they can. */
export function withoutSmallDisks(): string | false {
  const dir = mkdtempSync(join(tmpdir(), 'nixfleet-mount-'));
  try {
    mount(dir, 64);
    unmount(dir);
    return false;
  } catch {
    return 'a small tmpfs cannot be mounted here (it needs root)';
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A file system of its own that can be filled to its last bytes. */
export class SmallDisk implements AsyncDisposable {
  readonly dir: string;
  readonly #ballast: string;

  private constructor(dir: string) {
    this.dir = dir;
    this.#ballast = join(dir, 'ballast');
  }

  static async mount(dir: string, sizeKiB: number): Promise<SmallDisk> {
    await mkdir(dir, { recursive: true });
    mount(dir, sizeKiB);
    return new SmallDisk(dir);
  }

  /** Takes everything but so many KiB. */
  async fill(leaveKiB: number): Promise<void> {
    const block = Buffer.alloc(4096, 1);
    const file = await open(this.#ballast, 'a');
    try {
      for (;;) await file.write(block);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      await file.close();
    }
    const { size } = await stat(this.#ballast);
    await truncate(this.#ballast, Math.max(0, size - leaveKiB * 1024));
  }

  async free(): Promise<void> {
    await rm(this.#ballast, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    unmount(this.dir);
  }
}
