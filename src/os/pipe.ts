/** A pipe that is read without the event loop, with a bound on the wait. */
import { readSync } from 'node:fs';
import { libc } from './libc.ts';
import { waitReadable } from './syscalls.ts';

const cPipe = libc.func('int pipe2(_Out_ int *fds, int flags)');

const O_CLOEXEC = 0o2_000_000;
const PIECE = 4096;

export interface Pipe {
  readonly reads: number;
  readonly writes: number;
}

/** Both ends are close-on-exec, and the caller's to close; null where no descriptor is left. */
export function openPipe(): Pipe | null {
  const fds = [0, 0];
  return cPipe(fds, O_CLOEXEC) < 0 ? null : { reads: fds[0], writes: fds[1] };
}

/** What has come, empty at the end; null where nothing has within `ms`. Holds the calling thread. */
export function readWithin(fd: number, ms: number): Buffer | null {
  if (!waitReadable(fd, ms)) return null;
  const piece = Buffer.alloc(PIECE);
  return piece.subarray(0, readSync(fd, piece));
}
