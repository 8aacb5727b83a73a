// Range claims: overlapping ranges exclude each other, and the table is bounded.
import fc from 'fast-check';
import t from 'tap';
import { activeClaims, CLAIMS_MAX, claim, claimed, createClaims, release } from '#src/pool/claims.js';
import { createMailboxes } from '#src/shm/mailbox.js';

t.test('any order of claims and releases agrees with a list of ranges', async () => {
  const range = fc.record({ x: fc.nat(1), first: fc.nat(60), count: fc.integer({ min: 1, max: 8 }) });
  const command = fc.oneof(range, fc.nat(5));
  fc.assert(
    fc.property(fc.array(command), (commands) => {
      const c = createClaims(2);
      const boxes = createMailboxes(2);
      const held: { row: number; x: number; first: number; end: number }[] = [];
      for (const what of commands) {
        if (typeof what === 'number') {
          const gone = held.splice(what, 1);
          for (const { row } of gone) release(c, row, boxes);
          continue;
        }
        const { x, first } = what;
        const end = first + what.count;
        const overlaps = held.some((h) => h.x === x && h.first < end && first < h.end);
        const row = claim(c, x, first, end, 1);
        if (row >= 0 === overlaps) throw new Error(`${x}: ${first} to ${end} answered ${row}`);
        if (row >= 0) held.push({ row, x, first, end });
      }
      for (const x of [0, 1]) {
        for (let slot = 0; slot < 80; slot++) {
          const truth = held.some((h) => h.x === x && h.first <= slot && slot < h.end);
          if (claimed(c, x, slot, 0) !== truth) throw new Error(`slot ${slot} of ${x}`);
        }
      }
      if (activeClaims(c) !== held.length) throw new Error(`${activeClaims(c)} claims, not ${held.length}`);
    }),
    { numRuns: 300 },
  );
});

t.test('an export without a free row is refused, and who was refused is woken at its next release', async (t) => {
  const c = createClaims(2);
  const boxes = createMailboxes(4);
  const rows = Array.from({ length: CLAIMS_MAX }, (_, i) => claim(c, 1, i, i + 1, 1));
  t.equal(new Set(rows).size, CLAIMS_MAX);
  t.equal(claim(c, 1, 99, 100, 3), -1);
  t.equal(boxes[3], 0);
  release(c, rows[7], boxes);
  t.strictSame([...boxes], [0, 0, 0, 1]);
  t.ok(claim(c, 1, 99, 100, 3) >= 0);
});

t.test('an export whose ranges take all of its rows keeps those of another neither waiting nor awake', async (t) => {
  const c = createClaims(2);
  const boxes = createMailboxes(4);
  for (let i = 0; i < CLAIMS_MAX; i++) claim(c, 0, i, i + 1, 1);
  t.equal(claim(c, 0, 99, 100, 1), -1);
  const row = claim(c, 1, 0, 512, 2);
  t.ok(row >= 0, 'a row of its own');
  t.notOk(claimed(c, 1, 600, 0), 'and pins see only the ranges of their own export');
  release(c, row, boxes);
  t.strictSame([...boxes], [0, 0, 0, 0], 'whoever waits for a row of the other is left alone');
});

t.test('a claim that overlaps is refused even where a row is free behind it', async (t) => {
  const c = createClaims(1);
  const boxes = createMailboxes(4);
  claim(c, 0, 0, 10, 1);
  t.equal(claim(c, 0, 9, 20, 2), -1);
  t.equal(claim(c, 0, 0, 1, 2), -1);
  t.ok(claim(c, 0, 10, 20, 2) >= 0, 'ranges that touch do not overlap');
  t.notOk(claimed(c, 0, 20, 0));
  release(c, CLAIMS_MAX - 1, boxes);
  t.equal(boxes[2], 1);
});

t.test('an empty claim, or one that is released twice, is a defect of ours', async (t) => {
  const c = createClaims(1);
  const boxes = createMailboxes(4);
  t.throws(() => claim(c, 0, 3, 3, 1), /holds a slot/);
  const row = claim(c, 0, 3, 4, 1);
  release(c, row, boxes);
  t.throws(() => release(c, row, boxes), /released once/);
});
