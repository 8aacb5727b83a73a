/**
 * Parts of a file against QEMU, which has the file open as a whole. It locks single bytes of what it has open, shared: byte
 * 100 + n says that it uses right n, byte 200 + n that it lets nobody else use it; and then it looks who else holds those of the
 * other kind (raw-posix, qemu block layer). Servers of other parts are no strangers, so a part says as QEMU would that it writes and
 * shares that with nobody, and looks at what no server of ours says.
 * Invariant: locked first, looked at then, by both sides: of two that start together one sees the other.
 */
import { EAGAIN } from '../os/errno.ts';
import { isShared, lockRange } from '../os/file_locks.ts';

/** "I write" and "nobody else does". */
const WE_SAY: readonly [number, number] = [101, 201];
/** What QEMU says and we do not, [first, end): reading, which it always does, and what it does not share. */
const QEMU_SAYS = [
  [100, 101],
  [102, 201],
  [202, 204],
] as const;

/** Holds bytes [start, end) against other servers, and the file against QEMU: -EAGAIN where somebody has them, or -errno. */
export function lockPart(fd: number, start: number, end: number): number {
  for (const byte of WE_SAY) {
    const said = lockRange(fd, byte, 1, 'shared');
    if (said < 0) return said;
  }
  let from = start;
  for (const byte of [...WE_SAY, end]) {
    if (byte < start || byte > end) continue;
    const held = byte > from ? lockRange(fd, from, byte - from) : 0;
    if (held < 0) return held;
    from = byte + 1;
  }
  return hasQemu(fd);
}

/** Another part at the begin of the file holds these bytes for itself alone, and shares none of them. */
function hasQemu(fd: number): number {
  for (const [first, end] of QEMU_SAYS) {
    const shared = isShared(fd, first, end - first);
    if (typeof shared === 'number') return shared;
    if (shared) return -EAGAIN;
  }
  return 0;
}
