/** What happens to pages. Names are the kernel's where the kernel has the counter (mm/zswap.c, /proc/vmstat). */
import { IMAGE_COUNTERS } from '../image/counters.ts';
import { POOL_COUNTERS } from '../pool/counters.ts';
import type { Shared } from '../pool/shared.ts';
import { declareCounters, sum } from '../shm/counters.ts';

export const ZSWAP_COUNTERS = declareCounters(IMAGE_COUNTERS.end, {
  pool_limit_hit: 'stores that met the pool limit',
  reject_reclaim_fail: 'victims that could not be written back',
  reject_alloc_fail: 'stores rejected because no page of the allocator was left',
  reject_kmemcache_fail: 'stores rejected because the entry table or the tree nodes were used up',
  reject_compress_poor: 'stores rejected because the page did not compress',
  reject_compress_fail: 'stores rejected because the compressor failed',
  reject_memcg_limit: 'stores rejected at the memcg limit',
  reject_pool_limit: 'stores rejected because the pool was full',
  decompress_fail: 'entries that did not decompress',
  written_back_pages: 'pages written back from the pool to the image',
  pressure_written_back: 'of these, pages written back because the host was short of memory (shrinker_enabled)',
  asked_written_back: 'of these, pages written back because /block/<export>/writeback named them',
  zswpwb_proactive_b: 'bytes of objects written back because memory.reclaim asked for it',
  writeback_busy: 'victims skipped because their slot was in use (EEXIST)',
  writeback_invalidated: 'victims that were gone when their slot was pinned',
  zswpout: 'pages stored',
  zswpin: 'pages loaded from the pool',
  lost_pages: 'slots that have lost their last acknowledged bytes, also those that were written again since',
  checksum_mismatch: 'pages read that were not the ones last acknowledged; answered with EIO',
  swap_signatures: 'writes of slot 0 with a swap signature',
  invalidates: 'slots freed by TRIM or WRITE_ZEROES',
  compacted_zspages: 'zspages freed by compaction',
  trimmed_zspages: 'free zspages, or pages of zbud and z3fold, given back to the system',
  zero_reads: 'pages read from slots that nobody wrote, also those that a READ was told of as holes',
  parks: 'requests that had to wait for a pin, a buffer or the shrinker',
  fenced_units: 'pages and slices of ended connections that were dropped',
});
/** Column of each. */
export const C = ZSWAP_COUNTERS.columns;

/** Of the scrub, which looks at pages and moves none: no part of `stamp`. */
export const SCRUB_COUNTERS = declareCounters(ZSWAP_COUNTERS.end, {
  scrubbed_pages: 'pages that the scrub has compared with their checksums',
  scrub_passes: 'times that the scrub has been through all exports, where there was something to compare',
  scrub_read_errors: 'pages that the scrub could not read from the image',
});
/** Column of each. */
export const SCRUB = SCRUB_COUNTERS.columns;

/**
 * Differs between two calls if a page was stored, read or freed, or the shrinker did anything, in between. Requests are no
 * part of it: what moves no page and holds no pin changes nothing that is looked at.
 */
export function stamp({ counters }: Shared): string {
  const { first } = POOL_COUNTERS;
  return Array.from({ length: ZSWAP_COUNTERS.end - first }, (_, i) => sum(counters, first + i)).join();
}
