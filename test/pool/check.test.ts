// What `stats --check` counts: a sound pool agrees with itself, and each kind of damage is named.
import t from 'tap';
import { clearBit } from '#src/pool/bits.js';
import { busy, checkPool, disagreements, stamp } from '#src/pool/check.js';
import { claim, release } from '#src/pool/claims.js';
import { freeEntry } from '#src/pool/entries.js';
import * as lru from '#src/pool/lru.js';
import { erase, exchange, get, treeOf } from '#src/pool/tree.js';
import { C } from '#src/shm/counters.js';
import type { Zswap } from '#src/zswap/zswap.js';
import { KINDS, makePage, newZswap, put } from '../support/pool.ts';

const EXPORTS = [
  { name: 'a', pages: 65_536, memcg: 0 },
  { name: 'b', pages: 65_536, memcg: 1 },
];
const MEMCGS = ['m', 'n'].map((name) => ({ name, max: Number.POSITIVE_INFINITY, writeback: true }));
const SLOTS = [0, 1, 63, 64, 4095, 4096, 16_383, 16_384, 65_535];

function filled(absoluteIndexing = false): Zswap {
  const z = newZswap({ exports: EXPORTS, memcgs: MEMCGS, absoluteIndexing });
  SLOTS.forEach((slot, i) => {
    put(z, slot, makePage(KINDS[i % KINDS.length], slot + 1));
  });
  return z;
}

const problems = (z: Zswap): string[] => disagreements(checkPool(z.shared), MEMCGS);
const entryAt = (z: Zswap, slot: number): number => get(z.trees, treeOf(z.trees, 0, slot), slot);
const eraseAt = (z: Zswap, slot: number): number => erase(z.trees, treeOf(z.trees, 0, slot), slot);

for (const absolute of [false, true]) {
  t.test(`a sound pool agrees with itself; absolute indices: ${absolute}`, async (t) => {
    const z = filled(absolute);
    t.same(problems(z), []);
    const { entries } = checkPool(z.shared);
    t.match(entries, { alive: SLOTS.length, in_trees: SLOTS.length, same_filled: 3, on_lru: 6, leaked: 0 });
    for (const slot of SLOTS) z.invalidate(0, slot);
    t.same(problems(z), []);
    t.equal(checkPool(z.shared).entries.alive, 0);
  });
}

t.test('an entry that is in no tree is a leak', async (t) => {
  const z = filled();
  eraseAt(z, 64);
  t.same(problems(z), ['1 entries are alive and in no tree: leaked']);
});

t.test('an entry at a slot that nobody uses was missed by a TRIM', async (t) => {
  const z = filled();
  clearBit(z.shared.users, 0, 64);
  t.same(problems(z), ['1 entries are stored at slots that nobody uses']);
});

t.test('an entry that left the LRU and kept its charge is never written back', async (t) => {
  const z = filled();
  lru.isolateIfLinked(z.lru, z.entries, entryAt(z, 1));
  t.same(problems(z), ['1 entries are in a tree and on no LRU list: never written back']);
});

t.test('a charge that nobody gave back is named with its memcg', async (t) => {
  const z = filled();
  z.lru.charged[1] += 100;
  t.same(problems(z), ['zswap.current of n: 100, not 0']);
});

t.test('a freed entry in a tree and on a list, and its object', async (t) => {
  const z = filled();
  freeEntry(z.entries, entryAt(z, 16_383));
  t.match(problems(z), [/^1 places in trees/]);
  const other = filled();
  freeEntry(other.entries, entryAt(other, 1));
  const found = problems(other).join('\n');
  for (const part of [
    /^1 places in trees/m,
    /^1 entries on an LRU list/m,
    /^objects: 6, not 5/m,
    /^zswap.current of m/m,
  ]) {
    t.match(found, part);
  }
});

t.test('an entry at two slots', async (t) => {
  const z = filled();
  exchange(z.trees, treeOf(z.trees, 0, 70), 70, entryAt(z, 1));
  t.match(problems(z), [/^1 places in trees hold an entry that does not belong there/]);
});

t.test('an object that outlived its entry, and a counter that is wrong', async (t) => {
  const z = filled();
  z.zspool.alloc(77, 200);
  z.counters[C.stored_pages]++;
  t.same(problems(z), [`stored_pages: ${SLOTS.length + 1}, not ${SLOTS.length}`, 'objects: 7, not 6']);
});

t.test('what is under way is counted, and what was is noticed', async (t) => {
  const z = filled();
  const quiet = { pins: 0, writebacks: 0, claims: 0, orders: 0, shrinker: 0, swapoffs: 0 };
  t.same(busy(z.shared), quiet);
  const r = z.pin(0, 5);
  const row = claim(z.shared.claims, 0, 512, 1024, 2);
  t.same(busy(z.shared), { ...quiet, pins: 1, claims: 1 });
  z.unpin(r);
  release(z.shared.claims, row, z.shared.boxes);
  t.same(busy(z.shared), quiet);
  const before = stamp(z.shared);
  put(z, 9, makePage('text', 9));
  t.not(stamp(z.shared), before);
});
