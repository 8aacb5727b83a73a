// The races that the mailing list argued over, one window each: at a step of writeback the other operation runs, from begin
// to end. What is broken must break here in the way its file says, and what holds must hold.
import t from 'tap';
import { SHRINK } from '#src/protocols/protocol.js';
import type { Zswap } from '#src/zswap/zswap.js';
import { at, pair, shrink, swapoff, trim } from '../support/interleave.ts';
import { checkEmpty, held, makePage, memoryImage, put, take } from '../support/pool.ts';

const OLD = makePage('text', 1);
const NEW = makePage('text', 2);
const P1 = { entry: 'refcount-2013', swapoff: 'free-immediately', invalidate: 'erase' } as const;
const P2 = { entry: 'cas-2013', swapoff: 'free-immediately', invalidate: 'erase' } as const;
const P3 = { entry: 'refcount-lru-isolate', swapoff: 'tree-refcount', invalidate: 'erase' } as const;
const P4 = { entry: 'pin-validate', swapoff: 'pin-first', invalidate: 'erase' } as const;

for (const leakFix of [false, true]) {
  t.test(`refcount-2013, leakFix ${leakFix}: a TRIM between W1 and W2`, async (t) => {
    const { lane, shrinker } = pair({ ...P1, leakFix });
    put(lane, 1, OLD);
    t.equal(
      at(
        'W2',
        () => trim(lane, 1),
        () => shrink(shrinker),
      ),
      SHRINK.GONE,
    );
    if (leakFix) checkEmpty(t, lane.shared);
    else t.equal(held(lane.shared).entries, 1, 'leaked');
  });
}

for (const validate of [false, true]) {
  t.test(`refcount-2013, validate ${validate}: a WRITE between W1 and W2`, async (t) => {
    const { lane, shrinker } = pair({ ...P1, leakFix: true, validate });
    const image = memoryImage(shrinker);
    put(lane, 1, OLD);
    const result = at(
      'W2',
      () => put(lane, 1, NEW),
      () => shrink(shrinker),
    );
    t.equal(result, validate ? SHRINK.GONE : SHRINK.WRITTEN);
    t.same(image.get(1), validate ? undefined : OLD, 'stale data on the image only without it');
    t.same(take(lane, 1).page, NEW);
    trim(lane, 1);
    checkEmpty(t, lane.shared);
  });
}

t.test('refcount-2013 with strandPageOnAbort leaves the slot pinned', async (t) => {
  const { lane, shrinker } = pair({ ...P1, leakFix: true, validate: true, strandPageOnAbort: true });
  put(lane, 1, OLD);
  at(
    'W2',
    () => put(lane, 1, NEW),
    () => shrink(shrinker),
  );
  t.throws(() => take(lane, 1), /could not be pinned: -17/);
});

for (const [names, label] of [
  [P1, 'W5'],
  [{ ...P1, swapoff: 'pin-first' }, 'W5'],
  [{ ...P3, swapoff: 'free-immediately' }, 'b'],
  [{ ...P3, swapoff: 'free-immediately' }, 'f'],
  [{ ...P3, swapoff: 'drain' }, 'b'],
] as const) {
  t.test(`${names.entry} with ${names.swapoff}: swapoff before ${label} frees a tree in use`, async (t) => {
    const { lane, shrinker } = pair(names);
    memoryImage(shrinker);
    put(lane, 1, OLD);
    const race = () =>
      at(
        label,
        () => swapoff(lane),
        () => shrink(shrinker),
      );
    t.throws(race, /use after free: tree 0 was freed/);
  });
}

for (const swapoffName of ['tree-refcount', 'drain-early-ref'] as const) {
  for (const label of ['b', 'd', 'f']) {
    t.test(`refcount-lru-isolate with ${swapoffName}: swapoff waits for a writeback before ${label}`, async (t) => {
      const { lane, shrinker } = pair({ ...P3, swapoff: swapoffName });
      memoryImage(shrinker);
      put(lane, 1, OLD);
      const race = () =>
        at(
          label,
          () => swapoff(lane),
          () => shrink(shrinker),
        );
      t.throws(race, /waits for/);
    });
  }
}

for (const swapoffName of ['pin-first', 'free-immediately', 'tree-refcount'] as const) {
  t.test(`pin-validate with ${swapoffName}: swapoff before the pin is seen by it`, async (t) => {
    const { lane, shrinker } = pair({ ...P4, swapoff: swapoffName });
    memoryImage(shrinker);
    put(lane, 1, OLD);
    const race = () =>
      at(
        'd',
        () => swapoff(lane),
        () => shrink(shrinker),
      );
    if (swapoffName === 'tree-refcount') t.throws(race, /waits for/, 'it waits for the tree');
    else {
      t.equal(race(), SHRINK.GONE);
      checkEmpty(t, lane.shared);
    }
  });
}

for (const names of [{ ...P1, leakFix: true, validate: true }, P3, P4]) {
  const labels = { 'refcount-2013': ['W1', 'W2', 'W5'], 'refcount-lru-isolate': ['b', 'f'], 'pin-validate': ['d'] };
  for (const label of labels[names.entry]) {
    t.test(`${names.entry}: a TRIM and a new store before ${label} lose nothing`, async (t) => {
      const { lane, shrinker } = pair(names);
      const image = memoryImage(shrinker);
      put(lane, 1, OLD);
      at(
        label,
        () => {
          trim(lane, 1);
          put(lane, 1, NEW);
        },
        () => shrink(shrinker),
      );
      const found = take(lane, 1);
      t.same(found.result === 0 ? found.page : image.get(1), NEW);
      trim(lane, 1);
      checkEmpty(t, lane.shared);
    });
  }
}

for (const [name, meanwhile] of [
  ['A: a store waits with the tree locked', (z: Zswap) => void put(z, 1, NEW)],
  ['B: swapoff waits with the tree locked', (z: Zswap) => swapoff(z)],
] as const) {
  t.test(`cas-2013, deadlock ${name}`, async (t) => {
    const { lane, shrinker } = pair(P2);
    memoryImage(shrinker);
    put(lane, 1, OLD);
    t.throws(
      () =>
        at(
          'W5',
          () => meanwhile(lane),
          () => shrink(shrinker),
        ),
      /waits for/,
    );
    t.not(lane.trees.words[0], 0, 'the tree lock that W5 needs is held');
  });
}

t.test('cas-2013, deadlock C: invalidate waits under the lock that the pin needs', async (t) => {
  const { lane, shrinker } = pair({ ...P2, invalidateUnderDeviceLock: true });
  put(lane, 1, OLD);
  const race = () =>
    at(
      'W2',
      () => trim(lane, 1),
      () => shrink(shrinker),
    );
  t.throws(race, /waits for/);
  t.not(lane.shared.deviceLock[0], 0);
});

t.test('cas-2013 has neither the leak nor the stale data: the others wait', async (t) => {
  for (const other of [(z: Zswap) => trim(z, 1), (z: Zswap) => void put(z, 1, NEW), (z: Zswap) => void take(z, 1)]) {
    const { lane, shrinker } = pair(P2);
    put(lane, 1, OLD);
    const race = () =>
      at(
        'W2',
        () => other(lane),
        () => shrink(shrinker),
      );
    t.throws(race, /waits for/);
  }
});

for (const busy of ['none', 'remove-from-lru-on-fault', 'skip-eexist'] as const) {
  t.test(`a reclaim that its own fault causes, with busy ${busy}`, async (t) => {
    const { lane, shrinker } = pair({ ...P3, busy });
    put(lane, 1, OLD);
    put(lane, 2, NEW);
    memoryImage(shrinker);
    const r = lane.pin(0, 1);
    const reclaim = () =>
      at(
        busy === 'remove-from-lru-on-fault' ? 'a' : 'b',
        () => {},
        () => shrink(shrinker),
      );
    if (busy === 'none') t.throws(reclaim, /waits for/, 'waits for the pin of who waits for it');
    else t.equal(reclaim(), busy === 'skip-eexist' ? SHRINK.EEXIST : SHRINK.WRITTEN, 'another page, or none');
    if (busy === 'none') return;
    lane.unpin(r);
    trim(lane, 1);
    trim(lane, 2);
    checkEmpty(t, lane.shared);
  });
}

t.test('with busy none a pin that has its page is not waited for', async (t) => {
  const { lane, shrinker } = pair({ ...P3, busy: 'none' });
  put(lane, 1, OLD);
  const r = lane.pin(0, 1);
  lane.slots.fill(r);
  t.equal(shrink(shrinker), SHRINK.EEXIST);
  lane.unpin(r);
  t.equal(lane.slots.t.locked[r], 0);
});

t.test('remove-from-lru-on-fault misses an entry that writeback has isolated', async (t) => {
  const { lane, shrinker } = pair({ ...P3, busy: 'remove-from-lru-on-fault' });
  put(lane, 1, OLD);
  const taken: number[] = [];
  for (let b = shrinker.takePage(0); b !== 0; b = shrinker.takePage(0)) taken.push(b);
  let r = 0;
  const first = at(
    'f',
    () => {
      r = lane.pin(0, 1);
    },
    () => shrink(shrinker),
  );
  t.equal(first, SHRINK.ENOMEM);
  for (const b of taken) shrinker.givePage(b);
  t.throws(
    () =>
      at(
        'b',
        () => {},
        () => shrink(shrinker),
      ),
    /waits for/,
    'put back, picked, waiting for the pin',
  );
  t.ok(r > 0);
});
