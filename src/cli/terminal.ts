/**
 * The end of a process that was started on a terminal, which may be gone by then. Node puts the modes of a terminal at 0, 1
 * and 2 back when it exits, and aborts where that fails: a core with the guest's memory in it, after a stop that was clean.
 */
import { fstatSync, openSync } from 'node:fs';
import { errorCode } from '../os/exit_error.ts';
import { replaceDescriptor } from '../os/process.ts';

/**
 * Puts /dev/null in the place of any terminal when the process exits, and Node leaves it alone then. Whether it is still there
 * is not asked: it may go a moment later. We have changed no mode that would have to be put back.
 */
export function leaveTerminalAtExit(): void {
  // Opened now: at an exit there may be no descriptor left, and no way to say so.
  const nothing = openSync('/dev/null', 'r+');
  process.on('exit', () => {
    for (const fd of [0, 1, 2]) if (isDevice(fd)) replaceDescriptor(nothing, fd);
  });
}

/** A terminal that is gone is none for isatty(3), but a character device still. */
function isDevice(fd: number): boolean {
  try {
    return fstatSync(fd).isCharacterDevice();
  } catch (error) {
    if (errorCode(error) === 'EBADF') return false;
    throw error;
  }
}
