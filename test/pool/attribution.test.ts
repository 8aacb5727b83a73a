// Whose the page of a slot is: the memcg of its range, else that of its export.
import t from 'tap';
import { createAttribution, exportOf, noteRanges, ownerOf, RANGES_MAX } from '#src/pool/attribution.js';

const same = (memcg: number): number => memcg;

t.test('a slot belongs to its range, to the last slot of it', async (t) => {
  const a = createAttribution(3, []);
  a.ofExport[0] = 7;
  noteRanges(
    a,
    0,
    [
      { first: 10, end: 20, memcg: 1 },
      { first: 20, end: 21, memcg: 2 },
      { first: 30, end: 40, memcg: 3 },
    ],
    same,
  );
  const owners = [0, 9, 10, 19, 20, 21, 29, 30, 39, 40, 1e9].map((slot) => ownerOf(a, 0, slot));
  t.strictSame(owners, [7, 7, 1, 1, 2, 7, 7, 3, 3, 7, 7]);
});

t.test('ranges of one export are nothing to another', async (t) => {
  const a = createAttribution(2, []);
  for (let x = 0; x < 4; x++) a.ofExport[x] = 10 + x;
  noteRanges(a, 0, [], same);
  noteRanges(a, 1, [{ first: 0, end: 5, memcg: 1 }], same);
  noteRanges(a, 2, [], same);
  noteRanges(a, 3, [{ first: 3, end: 5, memcg: 2 }], same);
  t.strictSame(
    [0, 1, 2, 3].map((x) => [0, 3, 5].map((slot) => ownerOf(a, x, slot))),
    [
      [10, 10, 10],
      [1, 1, 11],
      [12, 12, 12],
      [13, 2, 13],
    ],
  );
  t.strictSame(
    [10, 1, 2, 13, 99].map((m) => exportOf(a, m, 4)),
    [0, 1, 3, 3, -1],
  );
  t.equal(exportOf(a, 2, 3), -1, 'of the exports that there are');
});

t.test('many ranges are searched as one by one', async (t) => {
  const a = createAttribution(RANGES_MAX, []);
  const ranges = Array.from({ length: RANGES_MAX }, (_, i) => ({
    first: i * 10 + (i % 3),
    end: i * 10 + 8,
    memcg: i + 1,
  }));
  noteRanges(a, 0, ranges, same);
  for (let slot = 0; slot < 10 * RANGES_MAX + 20; slot++) {
    const expected = ranges[Math.floor(slot / 10)];
    const inside = expected !== undefined && slot >= expected.first && slot < expected.end;
    if (ownerOf(a, 0, slot) !== (inside ? expected.memcg : 0)) t.fail(`slot ${slot}`);
  }
  t.throws(() => createAttribution(RANGES_MAX + 1, []), /bounded/);
});

t.test('ranges that overlap, are empty or out of order are a mistake of ours', async (t) => {
  for (const wrong of [
    [{ first: 5, end: 5, memcg: 1 }],
    [
      { first: 5, end: 9, memcg: 1 },
      { first: 8, end: 10, memcg: 1 },
    ],
    [
      { first: 5, end: 9, memcg: 1 },
      { first: 0, end: 1, memcg: 1 },
    ],
  ]) {
    t.throws(() => noteRanges(createAttribution(2, []), 0, wrong, same), /in order/);
  }
});
