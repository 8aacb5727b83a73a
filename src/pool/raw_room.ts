/** The room of pages that onRejectNoWriteback: raw keeps, which is theirs alone. */
import { CLASSES, classOf, ZSPAGE_BYTES } from './allocator/size_classes.ts';
import { PAGE_SIZE, THREADS_MAX } from './limits.ts';

/** Bytes that so many pages kept raw have in the allocator beside the pool, whose limit each thread may exceed by a zspage. */
export function rawRoom(pages: number): number {
  if (pages === 0) return 0;
  return (Math.ceil(pages / CLASSES.objects[classOf(PAGE_SIZE)]) + THREADS_MAX) * ZSPAGE_BYTES;
}
