// What a server shows of its counters: names that users read and scripts parse, each with a column of its own.
import t from 'tap';
import { gather, SHOWN } from '#src/server/counters.js';
import { laneCounters } from '#src/server/lane_counters.js';
import { COLUMNS, declareCounters } from '#src/shm/counters.js';

const POOL = 'stored_pages same_filled_pages stored_incompressible_pages compressed_bytes';
const REJECTS =
  'pool_limit_hit reject_reclaim_fail reject_alloc_fail reject_kmemcache_fail reject_compress_poor reject_compress_fail reject_memcg_limit reject_pool_limit decompress_fail';
const WRITEBACK =
  'written_back_pages pressure_written_back asked_written_back zswpwb_proactive_b writeback_busy writeback_invalidated zswpout zswpin';
const IMAGE =
  'writeback_failed writeback_wasted image_reads image_writes image_runs image_punches image_read_errors image_write_errors image_punch_errors image_sync_errors';
const SLOTS =
  'lost_pages checksum_mismatch swap_signatures invalidates compacted_zspages trimmed_zspages zero_reads parks fenced_units';
const SCRUB = 'scrubbed_pages scrub_passes scrub_read_errors';
const LANES = 'connections reads writes trims write_zeroes flushes errors bytes_in bytes_out';
const WAITS = 'lock_waits lock_wait_ms spins retries';

t.test('names are the ones that scripts parse, in one order', async (t) => {
  t.same(
    Object.keys(SHOWN.all),
    [POOL, IMAGE, REJECTS, WRITEBACK, SLOTS, SCRUB, LANES, 'gc_ms heap_used_bytes', WAITS].flatMap((line) =>
      line.split(' '),
    ),
  );
  t.same(
    Object.keys(SHOWN.ofLane),
    [LANES, 'zswpout zswpin image_reads zero_reads parks fenced_units gc_ms heap_used_bytes'].flatMap((line) =>
      line.split(' '),
    ),
  );
});

t.test('pages of holes that a READ was told of are pages read that were never written', async (t) => {
  const row = new Float64Array(COLUMNS);
  row[SHOWN.all.zero_reads] = 2;
  const counters = laneCounters(row);
  counters.holeBlocks += 5;
  t.equal(row[SHOWN.all.zero_reads], 7);
});

t.test('owners that would share a column or a name are refused', async (t) => {
  const one = declareCounters(0, { a: '', b: '' });
  t.throws(() => gather([one, declareCounters(1, { c: '' })]), /a column of its own/);
  t.throws(() => gather([one, declareCounters(2, { a: '' })]), /a name of its own/);
  t.same(gather([one, declareCounters(2, { c: '' })]), { a: 0, b: 1, c: 2 });
});
