/** What images are asked to do, and what becomes of it. */
import { POOL_COUNTERS } from '../pool/counters.ts';
import { declareCounters } from '../shm/counters.ts';

export const IMAGE_COUNTERS = declareCounters(POOL_COUNTERS.end, {
  writeback_failed: 'image writes of written-back pages that failed (each is retried)',
  writeback_wasted: 'pages written back whose slot was overwritten or trimmed before the image had them',
  image_reads: 'pages read from the image',
  image_writes: 'pages written to the image',
  image_runs: 'write calls on the image',
  image_punches: 'punches and zero-outs of the image',
  image_read_errors: 'failed reads of the image',
  image_write_errors: 'failed writes of the image',
});
/** Column of each. */
export const IMAGE = IMAGE_COUNTERS.columns;
