/** The room of pages that onRejectNoWriteback: raw keeps, which is theirs alone. */
import { type AllocatorName, allocatorNamed } from './allocator/index.ts';
import { THREADS_MAX } from './limits.ts';

/**
 * Bytes that so many pages kept raw have in the allocator beside the pool, whose limit each thread may exceed by one of its
 * pages. None where it takes no such page.
 */
export function rawRoom(name: AllocatorName, pages: number): number {
  const { rawPerPage, pageBytes } = allocatorNamed(name);
  if (pages === 0 || rawPerPage === 0) return 0;
  return (Math.ceil(pages / rawPerPage) + THREADS_MAX) * pageBytes;
}
