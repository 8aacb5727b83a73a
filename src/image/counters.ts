/** What images are asked to do, and what becomes of it. */
import { POOL_COUNTERS } from '../pool/counters.ts';
import { declareCounters } from '../shm/counters.ts';

export const IMAGE_COUNTERS = declareCounters(POOL_COUNTERS.end, {
  writeback_failed: 'image writes of written-back pages that failed (each is retried, until its export has ended)',
  writeback_wasted: 'pages written back whose slot was overwritten or trimmed before the image had them',
  image_reads: 'pages that the image was asked for, when it was asked',
  image_writes: 'pages that the image took',
  image_runs: 'write calls on the image that have begun',
  image_punches: 'punches and zero-outs that the image did',
  image_read_errors: 'read calls on the image that failed',
  image_write_errors: 'write calls on the image that failed; the pages of each are tried one by one',
  image_punch_errors: 'punches and zero-outs that failed',
  image_sync_errors: 'syncs of the image that failed',
});
/** Column of each. */
export const IMAGE = IMAGE_COUNTERS.columns;
