// Counters: a row per thread that nobody else writes, and sums over all rows.
import t from 'tap';
import { C, COUNTER_NAMES, createCounters, rowOf, sum } from '#src/shm/counters.js';

t.test('rows of threads do not overlap, and a sum has every row of its column', async (t) => {
  const threads = 3;
  const all = createCounters(threads);
  for (let thread = 0; thread < threads; thread++) {
    const row = rowOf(all, thread);
    t.equal(row.length, COUNTER_NAMES.length);
    for (let column = 0; column < row.length; column++) row[column] += 10 ** thread * (column + 1);
  }
  for (const name of COUNTER_NAMES) t.equal(sum(all, C[name]), 111 * (C[name] + 1), name);
});

t.test('a row of its own is on cache lines of its own', async (t) => {
  t.equal(rowOf(createCounters(2), 1).byteOffset % 64, 0);
});

t.test('what one thread took away from another one’s count is in the sum', async (t) => {
  const all = createCounters(2);
  rowOf(all, 0)[C.stored_pages] = 5;
  rowOf(all, 1)[C.stored_pages] = -3;
  t.equal(sum(all, C.stored_pages), 2);
});

t.test('counts stay exact beyond 2^31 and 2^32', async (t) => {
  const all = createCounters(1);
  const row = rowOf(all, 0);
  row[C.bytes_in] = 2 ** 53 - 2;
  row[C.bytes_in]++;
  t.equal(sum(all, C.bytes_in), Number.MAX_SAFE_INTEGER);
});
