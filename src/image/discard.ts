/**
 * Discards all content of an image that is held: it reads as zeros, and a file gives its room back.
 * Invariants: the size never changes on the way but for the moment between two truncations, so that a reset which is cut short
 * can be repeated; the zeros are on the disk at the end. The calls run on threads of the pool: the caller's goes on.
 */
import { fdatasync, ftruncate, write } from 'node:fs';
import { promisify } from 'node:util';
import { EINTR, errnoName } from '../os/errno.ts';
import { errorCode } from '../os/exit_error.ts';
import { dropCache, punchHole } from '../os/syscalls.ts';
import { alignedBytes, punchUnsupported } from './io.ts';
import type { LockedImage } from './lock.ts';

/** What one call covers: it can't be interrupted meanwhile, and who watches hears of none that has not ended. */
const PUNCH_BYTES = 2 ** 28;
const ZERO_BYTES = 2 ** 20;
/** How much of zeros may be in the page cache alone. */
const SYNC_BYTES = 2 ** 26;

export interface DiscardPace {
  /** After it no further call begins. */
  readonly ended: AbortSignal;
  /** All before this byte is discarded; of zeros, those that the disk has taken. */
  moved(at: number): void;
}

type Discardable = Pick<LockedImage, 'fd' | 'blockDevice' | 'bytes'>;

const NOBODY: DiscardPace = { ended: new AbortController().signal, moved: () => undefined };

/** Rejects with the system's error, or with the reason of `ended`. */
export async function discardImage(image: Discardable, pace: DiscardPace = NOBODY): Promise<void> {
  if (!(await punchAll(image, pace)) && !(await cutAndGrow(image, pace))) await writeZeros(image, pace);
  pace.ended.throwIfAborted();
  await promisify(fdatasync)(image.fd);
}

async function punchAll({ fd, bytes }: Discardable, { ended, moved }: DiscardPace): Promise<boolean> {
  for (let at = 0; at < bytes; moved(at)) {
    ended.throwIfAborted();
    const length = Math.min(PUNCH_BYTES, bytes - at);
    const errno = await new Promise<number>((resolve) => punchHole(fd, at, length, (code) => resolve(-code)));
    if (errno === 0) at += length;
    else if (punchUnsupported(errno)) return false;
    else if (errno !== EINTR) throw new Error(`can't punch a hole at ${at} (${errnoName(errno)})`);
  }
  return true;
}

/**
 * For file systems without holes: a crash between the two calls leaves an empty file, which has a size again at start. False
 * where there is no other size to be had either.
 */
async function cutAndGrow({ fd, blockDevice, bytes }: Discardable, { ended }: DiscardPace): Promise<boolean> {
  if (blockDevice) return false;
  ended.throwIfAborted();
  try {
    await promisify(ftruncate)(fd, 0);
  } catch (error) {
    if (['ENOSYS', 'EOPNOTSUPP', 'ENOTSUP'].includes(errorCode(error))) return false;
    throw error;
  }
  await promisify(ftruncate)(fd, bytes);
  return true;
}

/** The cache takes zeros faster than a disk does: without a sync on the way, the last one would have them all. */
async function writeZeros({ fd, bytes }: Discardable, { ended, moved }: DiscardPace): Promise<void> {
  const zeros = alignedBytes(ZERO_BYTES);
  for (let at = 0, next = 0; at < bytes; ) {
    next = Math.min(next + SYNC_BYTES, bytes);
    while (at < next) {
      ended.throwIfAborted();
      at += (await promisify(write)(fd, zeros, 0, Math.min(ZERO_BYTES, next - at), at)).bytesWritten;
    }
    ended.throwIfAborted();
    await promisify(fdatasync)(fd);
    // Advice: pages that stay are no harm.
    await new Promise<number>((resolve) => dropCache(fd, resolve));
    moved(at);
  }
}
