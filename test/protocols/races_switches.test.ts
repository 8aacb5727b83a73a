// The races of lockless walks and of switches that undo a fix, one window each, as in races.test.ts.
import t from 'tap';
import { isLive } from '#src/pool/entries.js';
import { get, treeOf } from '#src/pool/tree.js';
import { SHRINK } from '#src/protocols/protocol.js';
import { at, pair, shrink, trim } from '../support/interleave.ts';
import { checkEmpty, makePage, memoryImage, put, take } from '../support/pool.ts';

const OLD = makePage('text', 1);
const NEW = makePage('text', 2);
const P3 = { entry: 'refcount-lru-isolate', swapoff: 'tree-refcount', invalidate: 'erase' } as const;
const P4 = { entry: 'pin-validate', swapoff: 'pin-first', invalidate: 'erase' } as const;

for (const invalidate of ['load-noreload', 'load-reset', 'load-reload'] as const) {
  for (const slot of [0, 16_384]) {
    t.test(`${invalidate}: the entry of slot ${slot} moves into the head under a walk`, async (t) => {
      const { lane, shrinker: other } = pair({ ...P4, invalidate });
      put(lane, slot, OLD);
      put(lane, slot + 1, NEW);
      at(
        'INV: clear',
        () => trim(other, slot + 1),
        () => trim(lane, slot),
      );
      const left = get(lane.trees, treeOf(lane.trees, 0, slot), slot);
      if (invalidate === 'load-noreload') t.equal(left > 0 && isLive(lane.entries, left), false, 'dangling');
      else checkEmpty(t, lane.shared);
      if (invalidate === 'load-noreload') {
        t.not(left, 0);
        t.throws(() => take(lane, slot), /use after free/);
      }
    });
  }
  t.test(`${invalidate}: a lone entry in the head moves into a node under a walk`, async (t) => {
    const { lane, shrinker: other } = pair({ ...P4, invalidate });
    put(lane, 0, OLD);
    at(
      'INV: clear',
      () => put(other, 1, NEW),
      () => trim(lane, 0),
    );
    t.equal(take(lane, 1).result, invalidate === 'load-noreload' ? 1 : 0);
  });
}

t.test('with absolute indexing only the tree of slot 0 has an entry in its head', async (t) => {
  const { lane, shrinker: other } = pair({ ...P4, invalidate: 'load-noreload' }, { absoluteIndexing: true });
  put(lane, 16_384, OLD);
  put(lane, 16_385, NEW);
  at(
    'INV: clear',
    () => trim(other, 16_385),
    () => trim(lane, 16_384),
  );
  checkEmpty(t, lane.shared);
});

t.test('exclusiveBypass: a page that was read is gone from the pool', async (t) => {
  for (const names of [P3, P4]) {
    const { lane } = pair({ ...names, exclusiveBypass: true });
    put(lane, 1, OLD);
    t.same(take(lane, 1).page, OLD);
    t.equal(take(lane, 1).result, 1, 'and the image never had it');
  }
});

t.test('eraseOnReject false: the older page shadows the one that went to the image', async (t) => {
  const { lane } = pair({ ...P4, eraseOnReject: false });
  put(lane, 1, OLD);
  const r = lane.pin(0, 1);
  lane.dropOld(r, 0, 1);
  lane.unpin(r);
  t.same(take(lane, 1).page, OLD);
});

t.test('lruSkipAfterUnlock: the walk goes on at a neighbour that is freed meanwhile', async (t) => {
  for (const names of [P3, P4]) {
    const { lane, shrinker } = pair({ ...names, lruSkipAfterUnlock: true });
    for (const slot of [1, 2, 3]) put(lane, slot, makePage('text', slot));
    const r = lane.pin(0, 1);
    t.equal(shrink(shrinker), SHRINK.EEXIST);
    trim(lane, 2);
    t.throws(() => shrink(shrinker), /use after free: the walk of LRU 1/);
    lane.unpin(r);
  }
});

t.test('lruSkipAfterUnlock: where one pool goes on says nothing to the walk of another', async (t) => {
  const [one, other] = [pair({ ...P4, lruSkipAfterUnlock: true }), pair(P4)];
  for (const slot of [1, 2]) put(one.lane, slot, makePage('text', slot));
  for (const slot of [7, 8]) put(other.lane, slot, makePage('text', slot));
  const image = memoryImage(other.shrinker);
  const r = one.lane.pin(0, 1);
  t.equal(shrink(one.shrinker), SHRINK.EEXIST);
  t.equal(shrink(other.shrinker), SHRINK.WRITTEN);
  t.same([...image.keys()], [7], 'it begins at the head of its own list');
  one.lane.unpin(r);
});
