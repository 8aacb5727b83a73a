/** /debug/zswap: the counters that the kernel has there, under its names and in its units. */
import { poolTotal } from '../../pool/allocator/index.ts';
import { POOL } from '../../pool/counters.ts';
import type { Shared } from '../../pool/shared.ts';
import { sum } from '../../shm/counters.ts';
import { C } from '../../zswap/counters.ts';
import { type Folder, table } from './tree.ts';

/** Column of each. */
const COUNTERS = {
  pool_limit_hit: C.pool_limit_hit,
  reject_reclaim_fail: C.reject_reclaim_fail,
  reject_alloc_fail: C.reject_alloc_fail,
  reject_kmemcache_fail: C.reject_kmemcache_fail,
  reject_compress_fail: C.reject_compress_fail,
  reject_compress_poor: C.reject_compress_poor,
  decompress_fail: C.decompress_fail,
  written_back_pages: C.written_back_pages,
  stored_pages: POOL.stored_pages,
  same_filled_pages: POOL.same_filled_pages,
  stored_incompressible_pages: POOL.stored_incompressible_pages,
};

export function zswapCounters({ counters, zs }: Shared): Folder {
  const files = Object.entries(COUNTERS).map(([name, column]) => [name, { read: () => String(sum(counters, column)) }]);
  return table({ ...Object.fromEntries(files), pool_total_size: { read: () => String(poolTotal(zs)) } });
}
