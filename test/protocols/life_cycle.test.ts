// Every entry protocol with every invalidate protocol that it goes with: the life of a page, each outcome of writeback, and
// nothing left behind.
import t from 'tap';
import { clearBit } from '#src/pool/bits.js';
import { lifeOf, treeOf } from '#src/pool/tree.js';
import { meaningfulCombinations } from '#src/protocols/combinations.js';
import { SHRINK } from '#src/protocols/protocol.js';
import { LOAD_FAILED, LOADED, ON_IMAGE } from '#src/zswap/loads.js';
import { STORED } from '#src/zswap/store.js';
import { swapon } from '#src/zswap/swapoff_op.js';
import { pair, shrink, swapoff, trim } from '../support/interleave.ts';
import { checkEmpty, checkLists, held, makePage, memoryImage, pinned, put, take } from '../support/pool.ts';

for (const names of meaningfulCombinations().filter(({ busy }) => busy === 'skip-eexist')) {
  const name = `${names.entry}, ${names.swapoff}, ${names.invalidate}`;

  t.test(`${name}: stored, loaded, replaced, trimmed`, async (t) => {
    const { lane } = pair(names);
    for (const slot of [0, 1, 64, 16_384, 16_385]) t.equal(put(lane, slot, makePage('text', slot)), STORED);
    t.equal(put(lane, 1, makePage('same', 7)), STORED, 'a same-filled page takes the place');
    t.same(take(lane, 1).page, makePage('same', 7));
    t.equal(put(lane, 64, makePage('text', 3)), STORED);
    t.same(take(lane, 64).page, makePage('text', 3));
    t.same(take(lane, 64).page, makePage('text', 3), 'a load keeps the page');
    checkLists(lane.shared);
    t.equal(held(lane.shared).entries, 5);
    for (const slot of [1, 0, 16_384, 64, 16_385, 5]) trim(lane, slot);
    t.equal(take(lane, 64).result, ON_IMAGE);
    checkEmpty(t, lane.shared);
  });

  t.test(`${name}: written back, the coldest first`, async (t) => {
    const { lane, shrinker } = pair(names);
    const image = memoryImage(shrinker);
    for (const slot of [3, 1, 2]) put(lane, slot, makePage('text', slot));
    t.equal(shrink(shrinker), SHRINK.WRITTEN);
    t.same(image.get(3), makePage('text', 3));
    t.equal(take(lane, 3).result, ON_IMAGE);
    t.equal(shrink(shrinker), SHRINK.WRITTEN);
    t.equal(shrink(shrinker), SHRINK.WRITTEN);
    t.same([...image.keys()], [3, 1, 2]);
    t.equal(shrink(shrinker), SHRINK.EMPTY);
    checkEmpty(t, lane.shared);
  });

  t.test(`${name}: a page stays its slot's content until the image has it, also over a trim`, async (t) => {
    const { lane, shrinker } = pair(names);
    const writes: number[] = [];
    shrinker.onWrite = (_x, _slot, buffer) => writes.push(buffer);
    put(lane, 1, makePage('text', 1));
    put(lane, 2, makePage('text', 2));
    t.equal(shrink(shrinker), SHRINK.WRITTEN);
    t.equal(shrink(shrinker), SHRINK.WRITTEN);
    t.same(take(lane, 1).page, makePage('text', 1), 'read from the page on its way');
    trim(lane, 2);
    t.equal(take(lane, 2).result, ON_IMAGE);
    for (const [i, buffer] of writes.entries()) {
      if (shrinker.slots.writebackDone(0, i + 1, buffer)) shrinker.givePage(buffer);
    }
    t.equal(take(lane, 1).result, ON_IMAGE);
    checkEmpty(t, lane.shared);
  });

  t.test(`${name}: a victim that can't be written stays`, async (t) => {
    const { lane, shrinker } = pair(names);
    const image = memoryImage(shrinker);
    put(lane, 1, makePage('text', 1));
    t.equal(
      pinned(lane, 0, 1, () => shrink(shrinker)),
      SHRINK.EEXIST,
    );
    clearBit(lane.shared.users, 0, 1);
    t.equal(shrink(shrinker), SHRINK.GONE, 'ENOENT');
    put(lane, 1, makePage('text', 1));
    const taken: number[] = [];
    for (let b = shrinker.takePage(0); b !== 0; b = shrinker.takePage(0)) taken.push(b);
    t.equal(shrink(shrinker), SHRINK.ENOMEM);
    for (const b of taken) shrinker.givePage(b);
    t.equal(held(lane.shared).linked, 1, 'it is on the LRU again');
    t.equal(held(lane.shared).entries, 1);
    const { e } = corrupt(lane);
    t.equal(shrink(shrinker), SHRINK.EIO);
    t.equal(take(lane, 1).result, LOAD_FAILED, 'and a load says so too');
    t.equal(held(lane.shared).linked, 1);
    t.ok(e > 0);
    t.equal(image.size, 0);
    trim(lane, 1);
    checkEmpty(t, lane.shared);
  });

  t.test(`${name}: a rejected store drops the old page and nothing else`, async (t) => {
    const { lane } = pair(names);
    put(lane, 1, makePage('text', 1));
    put(lane, 2, makePage('text', 2));
    pinned(lane, 0, 1, (r) => lane.dropOld(r, 0, 1));
    t.equal(take(lane, 1).result, ON_IMAGE);
    t.equal(take(lane, 2).result, LOADED);
    trim(lane, 1);
    trim(lane, 2);
    checkEmpty(t, lane.shared);
  });

  t.test(`${name}: swapoff empties and frees the trees, swapon brings new ones`, async (t) => {
    const { lane, shrinker } = pair(names);
    for (const slot of [0, 1, 700, 16_384]) put(lane, slot, makePage('text', slot));
    const life = lifeOf(lane.trees, treeOf(lane.trees, 0, 0));
    swapoff(lane);
    t.equal(lane.isSwappedOff(0), true);
    checkEmpty(t, lane.shared);
    t.equal(take(lane, 0).result, ON_IMAGE);
    t.equal(shrink(shrinker), SHRINK.EMPTY);
    t.throws(() => put(lane, 1, makePage('text', 1)), /use after free: tree 0 was freed/);
    swapon(lane, 0);
    t.equal(lifeOf(lane.trees, treeOf(lane.trees, 0, 0)), life + 2);
  });
}

/** Breaks the one object there is. */
function corrupt(z: ReturnType<typeof pair>['lane']): { e: number } {
  const e = z.lru.head[1];
  z.objects.map(e);
  const at = z.objects.offset(e);
  z.objects.segment(e).fill(0xff, at, at + z.entries.length[e]);
  z.objects.unmap(e);
  return { e };
}
