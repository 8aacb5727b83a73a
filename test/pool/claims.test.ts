// Range claims: overlapping ranges exclude each other, who waits has his turn, and the table is bounded.
import fc from 'fast-check';
import t from 'tap';
import {
  CLAIMS_MAX,
  type Claim,
  claim,
  claimed,
  claimsHeld,
  createClaims,
  noClaim,
  release,
  stands,
  waits,
} from '#src/pool/claims.js';
import { createMailboxes } from '#src/shm/mailbox.js';
import { standing } from '../support/pool.ts';

interface Range {
  readonly x: number;
  readonly first: number;
  readonly end: number;
  readonly mine: Claim;
}

const overlap = (a: Range, b: Range): boolean => a.x === b.x && a.first < b.end && b.first < a.end;

t.test('any order of claims, retries and releases agrees with a list of ranges and a line', async () => {
  const range = fc.record({ x: fc.nat(1), first: fc.nat(60), count: fc.integer({ min: 1, max: 8 }) });
  const command = fc.oneof(range, fc.record({ release: fc.nat(9) }), fc.record({ retry: fc.nat(9) }));
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
      const c = createClaims(2);
      const boxes = createMailboxes(2);
      const held: Range[] = [];
      const line: Range[] = [];
      const ask = (one: Range, before: readonly Range[]): void => {
        const free = ![...held, ...before].some((other) => overlap(one, other));
        const got = claim(c, one.x, one.first, one.end, 1, one.mine);
        if (got !== free) throw new Error(`${one.x}: ${one.first} to ${one.end} answered ${got}`);
        const at = line.indexOf(one);
        if (got) held.push(one);
        if (got && at >= 0) line.splice(at, 1);
        else if (!got && at < 0) line.push(one);
      };
      for (const what of commands) {
        if ('release' in what) {
          const from = what.release % 2 === 0 ? held : line;
          for (const { mine } of from.splice(what.release >> 1, 1)) release(c, mine, boxes);
        } else if ('retry' in what) {
          const one = line[what.retry];
          if (one !== undefined) ask(one, line.slice(0, what.retry));
        } else {
          const { x, first, count } = what;
          ask({ x, first, end: first + count, mine: noClaim() }, line);
        }
      }
      for (const x of [0, 1]) {
        for (let slot = 0; slot < 80; slot++) {
          const truth = held.some((h) => h.x === x && h.first <= slot && slot < h.end);
          if (claimed(c, x, slot, 0) !== truth) throw new Error(`slot ${slot} of ${x}`);
        }
      }
      if (!held.every(({ mine }) => stands(mine) && !waits(mine)))
        throw new Error('a claim that stands has a row alone');
      if (!line.every(({ mine }) => waits(mine) && !stands(mine))) throw new Error('who waits has a place alone');
      if (claimsHeld(c) !== held.length + line.length) throw new Error(`${claimsHeld(c)} are held`);
    }),
    { numRuns: 500 },
  );
});

t.test('a range that waits for those in it has its turn before ranges that come later', async (t) => {
  const c = createClaims(1);
  const boxes = createMailboxes(2);
  const small = [standing(c, 0, 0, 1, 1), standing(c, 0, 1, 2, 1)];
  const large = noClaim();
  t.notOk(claim(c, 0, 0, 512, 1, large));
  const later = noClaim();
  t.notOk(claim(c, 0, 2, 3, 1, later), 'though nobody claims its slot');
  t.notOk(claimed(c, 0, 2, 0), 'which can be pinned');
  standing(c, 0, 512, 513, 1);
  for (const one of small) release(c, one, boxes);
  t.notOk(claim(c, 0, 2, 3, 1, later));
  t.ok(claim(c, 0, 0, 512, 1, large));
  release(c, large, boxes);
  t.ok(claim(c, 0, 2, 3, 1, later));
});

t.test("a range that gives up its place, or makes it smaller, is in nobody's way any more", async (t) => {
  const c = createClaims(1);
  const boxes = createMailboxes(4);
  standing(c, 0, 0, 1, 1);
  const large = noClaim();
  claim(c, 0, 0, 512, 1, large);
  const [behind, beside] = [noClaim(), noClaim()];
  t.notOk(claim(c, 0, 5, 6, 2, behind));
  t.notOk(claim(c, 0, 5, 6, 2, beside));
  t.notOk(claim(c, 0, 0, 5, 1, large));
  t.ok(claim(c, 0, 5, 6, 2, behind));
  t.notOk(claim(c, 0, 0, 6, 3, noClaim()));
  release(c, large, boxes);
  t.strictSame([...boxes], [0, 1, 1, 1], 'and all that wait look again');
});

t.test('who finds the line full waits without a place, and gets one when there is one again', async (t) => {
  const c = createClaims(1);
  const boxes = createMailboxes(4);
  const first = standing(c, 0, 0, 10, 1);
  const line = Array.from({ length: CLAIMS_MAX }, () => noClaim());
  for (const one of line) claim(c, 0, 0, 10, 1, one);
  t.ok(line.every(waits));
  const late = noClaim();
  t.notOk(claim(c, 0, 3, 4, 3, late));
  t.notOk(waits(late));
  t.equal(claimsHeld(c), 1 + CLAIMS_MAX);
  release(c, first, boxes);
  t.strictSame([...boxes], [0, 1, 0, 1]);
  t.ok(claim(c, 0, 0, 10, 1, line[0]));
  t.notOk(claim(c, 0, 3, 4, 3, late));
  t.ok(waits(late));
});

t.test('an export without a free row is refused, and who was refused is woken at its next release', async (t) => {
  const c = createClaims(2);
  const boxes = createMailboxes(4);
  const rows = Array.from({ length: CLAIMS_MAX }, (_, i) => standing(c, 1, i, i + 1, 1));
  t.equal(new Set(rows.map(({ row }) => row)).size, CLAIMS_MAX);
  const late = noClaim();
  t.notOk(claim(c, 1, 99, 100, 3, late));
  t.equal(boxes[3], 0);
  release(c, rows[7], boxes);
  t.strictSame([...boxes], [0, 0, 0, 1]);
  t.ok(claim(c, 1, 99, 100, 3, late));
});

t.test('an export whose ranges take all of its rows keeps those of another neither waiting nor awake', async (t) => {
  const c = createClaims(2);
  const boxes = createMailboxes(4);
  for (let i = 0; i < CLAIMS_MAX; i++) standing(c, 0, i, i + 1, 1);
  t.notOk(claim(c, 0, 99, 100, 1, noClaim()));
  const row = standing(c, 1, 0, 512, 2);
  t.notOk(claimed(c, 1, 600, 0), 'and pins see only the ranges of their own export');
  release(c, row, boxes);
  t.strictSame([...boxes], [0, 0, 0, 0], 'whoever waits for a row of the other is left alone');
});

t.test('a claim that overlaps is refused even where a row is free behind it', async (t) => {
  const c = createClaims(1);
  const boxes = createMailboxes(4);
  const first = standing(c, 0, 5, 10, 1);
  const before = noClaim();
  t.notOk(claim(c, 0, 4, 6, 2, before));
  release(c, before, boxes);
  t.notOk(claim(c, 0, 9, 10, 2, noClaim()));
  standing(c, 0, 10, 20, 2);
  standing(c, 0, 4, 5, 2);
  t.notOk(claimed(c, 0, 20, 0), 'ranges that touch do not overlap');
  boxes.fill(0);
  release(c, first, boxes);
  t.equal(boxes[2], 1);
});

t.test('an empty claim, or one that is released twice, is a defect of ours', async (t) => {
  const c = createClaims(1);
  const boxes = createMailboxes(4);
  t.throws(() => claim(c, 0, 3, 3, 1, noClaim()), /holds a slot/);
  const row = standing(c, 0, 3, 4, 1);
  t.throws(() => claim(c, 0, 5, 6, 1, row), /one range/);
  release(c, row, boxes);
  t.throws(() => release(c, row, boxes), /released once/);
});
