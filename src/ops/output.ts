/** Where a server writes what it says: descriptors that never block it. */
import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { waitWritable } from '../os/syscalls.ts';
import { errorCode } from './exit_error.ts';

export const STDOUT = 1;
export const STDERR = 2;
/** How long the end of the process waits for a reader. */
export const FLUSH_DEADLINE_MS = 1000;

/**
 * A terminal stopped with ^S blocks a write for ever, and with it the thread that writes. Terminals and pipes are therefore
 * opened anew: O_NONBLOCK on the inherited descriptor would be seen by its other users.
 */
export function openWithoutBlocking(fd: number): number {
  try {
    if (!isatty(fd) && !fstatSync(fd).isFIFO()) return fd;
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    // Without /proc, or a terminal of another user (su): the inherited descriptor works, and blocks.
    return fd;
  }
}

/** What a process says that ends now: nothing else runs meanwhile. A reader that takes nothing misses it. */
export function lastWords(text: string): void {
  const fd = openWithoutBlocking(STDERR);
  const deadline = performance.now() + FLUSH_DEADLINE_MS;
  for (let bytes = Buffer.from(text); bytes.length > 0; ) {
    const left = Math.ceil(deadline - performance.now());
    if (left <= 0) return;
    waitWritable(fd, left);
    try {
      bytes = bytes.subarray(writeSync(fd, bytes));
    } catch (error) {
      // Any other error is about the only place it could be reported to.
      if (errorCode(error) !== 'EAGAIN') return;
    }
  }
}
