// What the shrinker does in a running server when nobody asks: holes in zspages are closed, free memory goes to the system.
import t from 'tap';
import { startServer } from '../support/one_thread.ts';
import { pageOf } from '../support/random.ts';
import type { RunningServer } from '../support/zswapd.ts';

const PAGE = 4096;
/** Enough that a pool of pages that compress to a quarter is larger than what the server keeps resident. */
const PAGES = 3 * 4096;
const RUN = 256;
const KEPT_BYTES = 8 * 2 ** 20;

/** The pool's counters, once they are as wanted; the shrinker comes by about every second. */
async function poolUntil(server: RunningServer, wanted: (pool: Record<string, number>) => boolean) {
  for (;;) {
    const { pool } = await server.stats();
    if (wanted(pool)) return pool;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

t.test(
  'sparse zspages are compacted and free ones given back, and every page that is left reads as written',
  async (t) => {
    const server = await startServer(t, { size: `${PAGES * PAGE}`, set: ['pool.max=64MiB'] });
    const client = await server.connect();
    for (let first = 0; first < PAGES; first += RUN) {
      const pages = Array.from({ length: RUN }, (_, i) => pageOf(first + i, 1));
      await client.write(first * PAGE, Buffer.concat(pages));
    }
    const full = (await server.stats()).pool;
    t.equal(full.stored_pages, PAGES);
    t.ok(full.pool_total_size > KEPT_BYTES + 2 ** 20, `${full.pool_total_size} bytes`);
    t.equal(full.compacted_zspages + full.trimmed_zspages, 0, 'a dense pool is left alone');

    for (let first = 0; first < PAGES; first += 3 * RUN) {
      await Promise.all(Array.from({ length: RUN }, (_, i) => client.trim((first + 3 * i) * PAGE, 2 * PAGE)));
    }
    const compacted = await poolUntil(
      server,
      (pool) => pool.compacted_zspages > 0 && pool.pool_total_size < full.pool_total_size / 2,
    );
    t.equal(compacted.stored_pages, PAGES / 3);
    for (let slot = 2; slot < PAGES; slot += 3 * 8) {
      if (!(await client.read(slot * PAGE, PAGE)).equals(pageOf(slot, 1))) t.fail(`slot ${slot} has other bytes`);
    }

    await client.trim(0, PAGES * PAGE);
    const trimmed = await poolUntil(server, (pool) => pool.resident_free_bytes <= KEPT_BYTES);
    t.equal(trimmed.pool_total_size, 0);
    t.ok(trimmed.trimmed_zspages > 0);
    await client.disconnect();
  },
);
