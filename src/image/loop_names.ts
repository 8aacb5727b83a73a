/**
 * What a loop device is called: by the bytes behind it. The path that the kernel has for its file is no name: another file may
 * be there by now, the file may have moved, and two containers, or two files that were deleted, have one path for both.
 */
import type { LoopFile } from '../os/syscalls.ts';

/** Names that another boot may give to something else. */
const OF_THIS_BOOT = /^(name=|loop\/device=)/;

/**
 * The one that lasts longest first. Device numbers are handed out anew at each boot, so the time of birth counts before them,
 * where the file can be reached and its file system keeps that. `start`: where in the file the image begins.
 */
export function loopNames(loop: LoopFile, start: number, born: string | null): string[] {
  const bytes = `inode=${BigInt.asUintN(64, loop.ino)}:offset=${start}`;
  const here = `loop/device=${loop.dev}:${bytes}`;
  return born === null ? [here] : [`loop/born=${born}:${bytes}`, here];
}

export function lastsABoot(name: string): boolean {
  return !OF_THIS_BOOT.test(name);
}
