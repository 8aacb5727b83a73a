/**
 * System calls on ranges of this process's memory, through koffi. The ranges are shared buffers that can grow (shm/columns.ts):
 * each starts on a page and is a mapping of its own, so that nothing else is in it. Each answers >= 0, or -errno. Cold paths only.
 */
import { EINVAL } from './errno.ts';
import { libc, result } from './libc.ts';

const cMadvise = libc.func('int madvise(void *addr, size_t len, int advice)');
const cLock = libc.func('int mlock2(const void *addr, size_t len, unsigned int flags)');
const cUnlock = libc.func('int munlock(const void *addr, size_t len)');

const MADV_DONTNEED = 4;
const MADV_DONTDUMP = 16;
/** Linux 5.18. */
const MADV_DONTNEED_LOCKED = 24;
const MLOCK_ONFAULT = 1;

function lock(view: Uint8Array): number {
  return result(cLock(view, view.byteLength, MLOCK_ONFAULT));
}

/** What of the buffer is touched from now on, or was, stays in RAM; what is not takes none (Linux 4.4). */
export function lockOnFault(buffer: SharedArrayBuffer): number {
  return lock(new Uint8Array(buffer));
}

export function unlockMemory(buffer: SharedArrayBuffer): number {
  return result(cUnlock(new Uint8Array(buffer), buffer.byteLength));
}

/** Leaves the buffer out of core dumps, with whatever is put there later. */
export function leaveOutOfDumps(buffer: SharedArrayBuffer): number {
  return result(cMadvise(new Uint8Array(buffer), buffer.byteLength, MADV_DONTDUMP));
}

/**
 * Gives the memory of [offset, offset + bytes) of a page-aligned view back, be it locked or not; it reads as zeros afterwards. What
 * was locked still is. Nobody uses the range meanwhile. `advice` is given by tests alone.
 */
export function releaseMemory(view: Uint8Array, offset: number, bytes: number, advice = MADV_DONTNEED_LOCKED): number {
  const range = view.subarray(offset, offset + bytes);
  const released = result(cMadvise(range, bytes, advice));
  if (released !== -EINVAL) return released;
  // An older kernel: it refuses locked memory by the same number, so that this tells whether it was.
  const unlocked = result(cMadvise(range, bytes, MADV_DONTNEED));
  if (unlocked !== -EINVAL) return unlocked;
  const code = result(cUnlock(range, bytes));
  if (code < 0) return code;
  const given = result(cMadvise(range, bytes, MADV_DONTNEED));
  return given < 0 ? given : lock(range);
}
