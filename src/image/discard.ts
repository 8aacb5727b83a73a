/**
 * Discards all content of an image that is held: it reads as zeros, and a file gives its room back.
 * Invariants: the size never changes on the way, so that a reset which is cut short can be repeated; the zeros are on the
 * disk at the end. Blocks the calling thread.
 */

import { fdatasyncSync, ftruncateSync, writeSync } from 'node:fs';
import { EINTR, errnoName } from '../os/errno.ts';
import { punchHoleNow } from '../os/syscalls.ts';
import { alignedBytes, punchUnsupported } from './io.ts';
import type { LockedImage } from './lock.ts';

/** What one call covers: it can't be interrupted meanwhile. */
const PUNCH_BYTES = 2 ** 30;
const ZERO_BYTES = 2 ** 20;

/** Throws the system's error. */
export function discardImage(image: Pick<LockedImage, 'fd' | 'blockDevice' | 'bytes'>): void {
  if (!punchAll(image.fd, image.bytes)) {
    // A file system without holes: a crash between the two calls leaves an empty file, which has a size again at start.
    if (!image.blockDevice) {
      ftruncateSync(image.fd, 0);
      ftruncateSync(image.fd, image.bytes);
    } else writeZeros(image.fd, image.bytes);
  }
  fdatasyncSync(image.fd);
}

function punchAll(fd: number, bytes: number): boolean {
  for (let at = 0; at < bytes; ) {
    const length = Math.min(PUNCH_BYTES, bytes - at);
    const errno = -punchHoleNow(fd, at, length);
    if (errno === 0) at += length;
    else if (punchUnsupported(errno)) return false;
    else if (errno !== EINTR) throw new Error(`can't punch a hole at ${at} (${errnoName(errno)})`);
  }
  return true;
}

function writeZeros(fd: number, bytes: number): void {
  const zeros = alignedBytes(ZERO_BYTES);
  for (let at = 0; at < bytes; ) at += writeSync(fd, zeros, 0, Math.min(ZERO_BYTES, bytes - at), at);
}
