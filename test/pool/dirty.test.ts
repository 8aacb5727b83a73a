// Dirty bits: what was set is taken once, whatever the range, and the summary never hides a bit.
import t from 'tap';
import { createDirty, GROUP, isDirty, setDirty, takeDirty } from '#src/pool/dirty.js';
import { chooseSeed, Random } from '../support/random.ts';

const taken = (d: ReturnType<typeof createDirty>, first: number, end: number, x = 0): number[] =>
  Array.from(takeDirty(d, x, first, end));

t.test('slots are taken in ascending order, and once', async (t) => {
  const d = createDirty([5000]);
  for (const slot of [4999, 0, 31, 32, 33, 63, 64, GROUP - 1, GROUP, GROUP + 1]) setDirty(d, 0, slot);
  t.strictSame(taken(d, 0, 5000), [0, 31, 32, 33, 63, 64, GROUP - 1, GROUP, GROUP + 1, 4999]);
  t.strictSame(taken(d, 0, 5000), []);
});

t.test('a range takes its own slots only, to the slot at both ends', async (t) => {
  const d = createDirty([5000]);
  for (let slot = 0; slot < 5000; slot++) setDirty(d, 0, slot);
  t.strictSame(taken(d, 31, 34), [31, 32, 33]);
  t.strictSame(taken(d, 30, 36), [30, 34, 35]);
  t.strictSame(taken(d, 64, 65), [64]);
  t.equal(takeDirty(d, 0, 0, 5000).length, 5000 - 7);
});

t.test('a part of a group leaves the rest to be found', async (t) => {
  const d = createDirty([3 * GROUP]);
  setDirty(d, 0, GROUP + 5);
  setDirty(d, 0, GROUP + 600);
  t.strictSame(taken(d, GROUP, GROUP + 6), [GROUP + 5]);
  t.ok(isDirty(d, 0, GROUP + 600));
  t.strictSame(taken(d, 0, 3 * GROUP), [GROUP + 600]);
});

t.test('the last group may be shorter than others', async (t) => {
  const d = createDirty([GROUP + 7]);
  setDirty(d, 0, GROUP + 6);
  t.strictSame(taken(d, 0, GROUP + 7), [GROUP + 6]);
  setDirty(d, 0, GROUP + 6);
  t.strictSame(taken(d, 0, GROUP + 7), [GROUP + 6], 'and is found again after it was taken whole');
});

t.test('exports have bits of their own', async (t) => {
  const d = createDirty([100, 100]);
  setDirty(d, 1, 7);
  t.strictSame(taken(d, 0, 100), []);
  t.strictSame(taken(d, 0, 100, 1), [7]);
});

t.test('random settings and takings agree with a set', async (t) => {
  const random = new Random(chooseSeed());
  t.comment(`reproduce with ZSWAPD_SEED=${random.seed}`);
  const pages = 3 * GROUP + 77;
  const d = createDirty([pages]);
  const model = new Set<number>();
  for (let round = 0; round < 2000; round++) {
    if (random.chance(0.7)) {
      const slot = random.below(pages);
      setDirty(d, 0, slot);
      model.add(slot);
      continue;
    }
    const first = random.below(pages);
    const end = first + 1 + random.below(pages - first);
    const wanted = [...model].filter((slot) => slot >= first && slot < end).sort((a, b) => a - b);
    for (const slot of wanted) model.delete(slot);
    const found = taken(d, first, end);
    if (found.join() !== wanted.join()) t.strictSame(found, wanted, `slots ${first} to ${end}`);
  }
  t.equal(takeDirty(d, 0, 0, pages).length, model.size);
});
