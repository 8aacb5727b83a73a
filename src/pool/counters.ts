/** What is in the pool, as counted; names are the kernel's (mm/zswap.c). check.ts holds it against what is there. */
import { declareCounters } from '../shm/counters.ts';
import { WAIT_COUNTERS } from '../shm/waits.ts';

export const POOL_COUNTERS = declareCounters(WAIT_COUNTERS.end, {
  stored_pages: 'pages in the pool',
  same_filled_pages: 'stored pages that repeat one 32-bit word and take no memory',
  stored_incompressible_pages: 'stored pages that are kept raw',
  compressed_bytes: 'bytes of the stored objects',
});
/** Column of each. */
export const POOL = POOL_COUNTERS.columns;
