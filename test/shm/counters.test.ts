// Counters: a row per thread that nobody else writes, sums over all rows, and a block of columns per owner.
import t from 'tap';
import { COLUMNS, createCounters, declareCounters, rowOf, sum } from '#src/shm/counters.js';

t.test('rows of threads do not overlap, and a sum has every row of its column', async (t) => {
  const threads = 3;
  const all = createCounters(threads);
  for (let thread = 0; thread < threads; thread++) {
    const row = rowOf(all, thread);
    t.equal(row.length, COLUMNS);
    for (let column = 0; column < row.length; column++) row[column] += 10 ** thread * (column + 1);
  }
  for (let column = 0; column < COLUMNS; column++) t.equal(sum(all, column), 111 * (column + 1));
});

t.test('a row of its own is on cache lines of its own', async (t) => {
  t.equal(rowOf(createCounters(2), 1).byteOffset % 64, 0);
});

t.test('what one thread took away from another one’s count is in the sum', async (t) => {
  const all = createCounters(2);
  rowOf(all, 0)[5] = 5;
  rowOf(all, 1)[5] = -3;
  t.equal(sum(all, 5), 2);
});

t.test('counts stay exact beyond 2^31 and 2^32', async (t) => {
  const all = createCounters(1);
  const row = rowOf(all, 0);
  row[7] = 2 ** 53 - 2;
  row[7]++;
  t.equal(sum(all, 7), Number.MAX_SAFE_INTEGER);
});

t.test('a block has its columns in the order of its names, and begins where its owner says', async (t) => {
  const { end, columns } = declareCounters(4, { a: 'the first', b: 'the second' });
  t.strictSame([end, columns], [6, { a: 4, b: 5 }]);
});

t.test('a block that would be longer than a row is refused', async (t) => {
  t.equal(declareCounters(COLUMNS - 1, { last: '' }).end, COLUMNS);
  t.throws(() => declareCounters(COLUMNS - 1, { last: '', more: '' }), /the counters of all owners fit a row/);
});
