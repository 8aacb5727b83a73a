// The figures of `./scripts/bench --scale`, from made-up visits: what is beside what, and what is said of missing parts.
import t from 'tap';
import type { AllocatorReport } from '#src/scripts/benchmark/scale/allocators.js';
import { makeScaleReport, type ScaleReport } from '#src/scripts/benchmark/scale/report.js';
import { renderScale } from '#src/scripts/benchmark/scale/table.js';
import type { Variant } from '#src/scripts/benchmark/scale/variants.js';
import type { Visit } from '#src/scripts/benchmark/scale/visit.js';

const VARIANTS: readonly Variant[] = [
  { groups: 1, depth: 1, exportBytes: 2 ** 30 },
  { groups: 10_000, depth: 16, exportBytes: 2 ** 42 },
];

function visit(writes: number, reads: number, changes?: number): Visit {
  return {
    write: { iops: writes, p99: 2 },
    read: { iops: reads, p99: 4 },
    residentBytes: 100 * 2 ** 20,
    metadataBytesPerPage: 56,
    ...(changes === undefined ? {} : { owners: { perSecond: changes, bytesPerChange: 20 } }),
  };
}

function report(allocators?: AllocatorReport): ScaleReport {
  return makeScaleReport(
    { machine: 'a machine', date: '2000-01-01', seconds: 2, dataBytes: 2 ** 27 },
    VARIANTS,
    [
      [visit(1000, 5000), visit(1200, 4000), visit(900, 6000)],
      [visit(800, 4900, 10), visit(500, 4500, 30), visit(820, 5100, 20)],
    ],
    allocators,
  );
}

t.test('medians, ratios to the first row, and the spread between the rows', async (t) => {
  const { rows, spread, repeat } = report();
  t.equal(repeat, 3);
  t.match(rows[0], { title: '1 memcg, depth 1, 1 GiB', write: { median: 1000, range: [900, 1200], ratio: 1 } });
  t.match(rows[1], { title: '10 000 memcgs, depth 16, 4 TiB', write: { ratio: 0.8 }, read: { ratio: 0.98 } });
  t.match(rows[1]?.owners, { perSecond: { median: 20, range: [10, 30] }, bytesPerChange: 20 });
  t.notOk(rows[0]?.owners, 'one memcg has no other one to give its pages to');
  t.equal(spread.write, 1.25);
  t.ok(spread.read < 1.03);
});

t.test('a floor that is not met is said to be', async (t) => {
  const text = renderScale(report());
  t.match(text, /random write: fastest row ÷ slowest +1\.25 +≤ 1\.2 +NOT MET/);
  t.match(text, /random read: fastest row ÷ slowest +1\.02 +≤ 1\.2 +met/);
});

t.test('without a corpus it says how to take one', async (t) => {
  t.match(renderScale(report()), /not measured.*\n.*--take-corpus FILE\n.*\n.*--corpus FILE/);
});

t.test('with one each allocator has its bytes per stored page, and what could not be had its reason', async (t) => {
  const row = {
    storedPages: 1000,
    sameFilledPages: 5,
    rawPages: 2,
    compressedBytes: 1_000_000,
    memoryBytes: 1_100_000,
  };
  const text = renderScale(
    report({
      corpusPages: 1024,
      rows: [
        { name: 'zsmalloc', ...row, metadataBytes: 56_000 },
        { name: 'zram, lzo-rle', ...row },
      ],
      skipped: ['zram, zstd: not here'],
    }),
  );
  t.match(text, /of 1 024 pages/);
  t.match(text, /\n {2}zsmalloc +1 000 +5 +2 +1000 +1100 +1156 +56\.0 +1\.100\n/);
  t.match(text, /\n {2}zram, lzo-rle +1 000 +5 +2 +1000 +1100 +- +- +1\.100\n/);
  t.match(text, /\nskipped zram, zstd: not here\n/);
  t.notMatch(text, /not measured/);
});
