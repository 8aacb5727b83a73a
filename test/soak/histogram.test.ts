import t from 'tap';
import { Histogram } from '#src/soak/histogram.js';
import { Random } from '#src/soak/random.js';

t.test('quantiles are those of the sorted values, to 3 per cent', (t) => {
  const random = new Random(5, 1);
  const histogram = new Histogram();
  const values = Array.from({ length: 20_000 }, () => 2 ** (random.below(30_000) / 1000));
  for (const value of values) histogram.add(value);
  values.sort((a, b) => a - b);
  for (const share of [0.01, 0.5, 0.9, 0.99, 0.999, 1]) {
    const exact = values[Math.ceil(share * values.length) - 1];
    const found = histogram.quantile(share);
    t.ok(found >= Math.round(exact) && found <= exact * 1.033 + 1, `${share}: ${found}, exactly ${exact}`);
  }
  t.equal(histogram.latency.max, Math.round(values.at(-1)!));
  t.end();
});

t.test('small values are exact, and what is out of range counts at its end', (t) => {
  const histogram = new Histogram();
  for (let value = 1; value <= 63; value++) histogram.add(value);
  for (let value = 1; value <= 63; value++) t.equal(histogram.quantile(value / 63), value);
  const wide = new Histogram();
  for (const value of [64, 1000, 5000]) wide.add(value);
  t.same(wide.rows(), [
    { from: 64, to: 65, count: 1 },
    { from: 992, to: 1007, count: 1 },
    { from: 4992, to: 5119, count: 1 },
  ]);
  histogram.add(-5);
  histogram.add(1e12);
  t.equal(histogram.rows()[0].to, 0);
  t.equal(histogram.latency.max, 2 ** 32 - 1);
  t.equal(histogram.count, 65);
  t.end();
});

t.test('buckets have no gaps and do not overlap', (t) => {
  const histogram = new Histogram();
  for (let exponent = 0; exponent < 32; exponent++) {
    for (let part = 0; part < 64; part++) histogram.add(2 ** exponent * (1 + part / 64));
  }
  const rows = histogram.rows();
  for (const [i, row] of rows.entries()) {
    if (i > 0 && row.from <= rows[i - 1].to) t.fail(`${row.from} after ${rows[i - 1].to}`);
    if (row.to - row.from > row.from * 0.033 + 1) t.fail(`${row.from} to ${row.to} is wide`);
  }
  t.equal(
    rows.reduce((sum, { count }) => sum + count, 0),
    histogram.count,
  );
  t.end();
});

t.test('an empty one has zeros, a cleared one is empty', (t) => {
  const histogram = new Histogram();
  t.same(histogram.latency, { count: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 });
  histogram.add(9);
  histogram.clear();
  t.same(histogram.latency, { count: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 });
  t.end();
});
