/**
 * Counters in shared memory: one row of 64-bit floats per thread, each written by its own thread only, summed on reading.
 *
 * A double counts exactly to 2^53. Names are the kernel's where the kernel has the counter (mm/zswap.c, /proc/vmstat).
 * A row may be negative (a page stored by one lane and freed by another); the sum is what means something.
 */
import { float64 } from './columns.ts';

const COUNTERS = {
  stored_pages: 'pages in the pool',
  same_filled_pages: 'stored pages that are one repeated word and take no memory',
  stored_incompressible_pages: 'stored pages that are kept raw',
  compressed_bytes: 'bytes of the stored objects',
  pool_limit_hit: 'stores that met the pool limit',
  reject_reclaim_fail: 'victims that could not be written back',
  reject_alloc_fail: 'stores rejected because no zspage was left',
  reject_kmemcache_fail: 'stores rejected because the entry table or the tree nodes were used up',
  reject_compress_poor: 'stores rejected because the page did not compress',
  reject_compress_fail: 'stores rejected because the compressor failed',
  reject_memcg_limit: 'stores rejected at the memcg limit',
  reject_pool_limit: 'stores rejected because the pool was full',
  decompress_fail: 'entries that did not decompress',
  written_back_pages: 'pages written back from the pool to the image',
  writeback_busy: 'victims skipped because their slot was in use (EEXIST)',
  writeback_invalidated: 'victims that were gone when their slot was pinned',
  writeback_failed: 'image writes of written-back pages that failed (each is retried)',
  writeback_wasted: 'pages written back whose slot was overwritten or trimmed before the image had them',
  zswpout: 'pages stored',
  zswpin: 'pages loaded from the pool',
  image_reads: 'pages read from the image',
  image_writes: 'pages written to the image',
  image_runs: 'write calls on the image',
  image_punches: 'punches and zero-outs of the image',
  image_read_errors: 'failed reads of the image',
  image_write_errors: 'failed writes of the image',
  lost_pages: 'slots whose last acknowledged bytes exist nowhere',
  oracle_mismatch: 'pages read that were not the ones last acknowledged (debug.oracle); answered with EIO',
  swap_signatures: 'writes of slot 0 with a swap signature',
  invalidates: 'slots freed by TRIM or WRITE_ZEROES',
  compacted_zspages: 'zspages freed by compaction',
  trimmed_zspages: 'free zspages given back to the system',
  zero_reads: 'pages read from slots that were never written',
  parks: 'requests that had to wait for a pin, a buffer or the shrinker',
  fenced_units: 'pages and slices of ended connections that were dropped',
  connections: 'connections served',
  reads: 'READ requests',
  writes: 'WRITE requests',
  trims: 'TRIM requests',
  write_zeroes: 'WRITE_ZEROES requests',
  flushes: 'FLUSH requests',
  errors: 'requests answered with an error',
  bytes_in: 'payload bytes received',
  bytes_out: 'payload bytes sent',
  lock_waits: 'locks that somebody else held when they were wanted',
  lock_wait_ms: 'milliseconds of waiting for them',
  spins: 'looks at a word that had not changed yet, before sleeping on it',
  retries: 'waits for another thread to move on that are not for a lock',
  gc_ms: 'milliseconds of garbage collection',
} as const;

export type CounterName = keyof typeof COUNTERS;
export const COUNTER_NAMES = Object.keys(COUNTERS) as CounterName[];
/** Column of each counter. */
export const C = Object.fromEntries(COUNTER_NAMES.map((name, i) => [name, i])) as Record<CounterName, number>;
const ROW = Math.ceil(COUNTER_NAMES.length / 8) * 8;

export type Counters = Float64Array;

export function createCounters(threads: number): Counters {
  return float64(threads * ROW);
}

/** The row of one thread; only that thread writes it. */
export function rowOf(all: Counters, thread: number): Float64Array {
  return all.subarray(thread * ROW, thread * ROW + COUNTER_NAMES.length);
}

export function sum(all: Counters, column: number): number {
  let total = 0;
  for (let at = column; at < all.length; at += ROW) total += all[at];
  return total;
}
