// What `stats --check` counts: a sound pool agrees with itself, and each kind of damage is named.
import t from 'tap';
import { poolsOf } from '#src/pool/allocator/index.js';
import { clearBit } from '#src/pool/bits.js';
import { busy } from '#src/pool/busy.js';
import { disagreements, type PoolCheck } from '#src/pool/check.js';
import { release } from '#src/pool/claims.js';
import { POOL } from '#src/pool/counters.js';
import { freeEntry } from '#src/pool/entries.js';
import { THREAD_MAIN } from '#src/pool/limits.js';
import * as lru from '#src/pool/lru.js';
import { CELL, CELL_COLUMNS, MEMCG } from '#src/pool/memcg.js';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import { PIECE } from '#src/pool/pieces.js';
import { erase, exchange, get, treeOf } from '#src/pool/tree.js';
import { stamp } from '#src/zswap/counters.js';
import type { Zswap } from '#src/zswap/zswap.js';
import { passing, type Seen } from '../support/facade.ts';
import { checkNow, KINDS, makePage, newZswap, put, standing, zsmallocOf } from '../support/pool.ts';

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

/** The same, however few steps of a list are made under one hold of its lock. */
function checked(z: Zswap): PoolCheck {
  const [whole, ...others] = [PIECE, 1, 2, 3].map((steps) => checkNow(z.shared, steps));
  for (const other of others) t.same(other, whole);
  if (whole === null) throw new Error('a list has changed');
  return whole;
}

const problems = (z: Zswap): string[] => disagreements(checked(z), { exports: EXPORTS });
const entryAt = (z: Zswap, slot: number): number => get(z.trees, treeOf(z.trees, 0, slot), slot);
const eraseAt = (z: Zswap, slot: number): number => erase(z.trees, treeOf(z.trees, 0, slot), slot);

for (const absolute of [false, true]) {
  t.test(`a sound pool agrees with itself; absolute indices: ${absolute}`, async (t) => {
    const z = filled(absolute);
    t.same(problems(z), []);
    const { entries } = checked(z);
    t.match(entries, { alive: SLOTS.length, in_trees: SLOTS.length, same_filled: 3, on_lru: 6, leaked: 0 });
    for (const slot of SLOTS) z.invalidate(0, slot);
    t.same(problems(z), []);
    t.equal(checked(z).entries.alive, 0);
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
  z.lru.charged[2] += 100;
  t.same(problems(z), ['bytes on the list of n: 100, not 0']);
  z.lru.charged[2] -= 100;
  z.memcgs.cells[2 * z.memcgs.threads * CELL_COLUMNS + CELL.ADDED] += 100;
  t.same(problems(z), ['zswap.current of n: 100, not 0']);
});

t.test('a row of a memcg that is used after it is free is named with what uses it', async (t) => {
  const z = filled();
  const tree = new MemcgTree(z.shared, THREAD_MAIN);
  const row = tree.create('x');
  tree.attach(0, 'x');
  put(z, 7, makePage('text', 7));
  t.same(problems(z), []);
  z.memcgs.state[row] = MEMCG.FREE;
  t.same(problems(z), [
    '1 entries on an LRU list do not belong there',
    '1 entries name a memcg that there is not',
    '1 memcgs that are not online have a list',
    '1 rows of memcgs are charged what their entries do not have',
    '1 exports, ranges or numbers of agents stand for a memcg that is not online',
  ]);
  z.memcgs.state[row] = MEMCG.ONLINE;
  put(z, 8, makePage('same', 8));
  tree.attach(0, 'm');
  tree.offline('x');
  t.same(problems(z), []);
  z.memcgs.cells[row * z.memcgs.threads * CELL_COLUMNS + CELL.FREED] += 5;
  t.same(problems(z), ['1 rows of memcgs are charged what their entries do not have']);
  z.memcgs.cells[row * z.memcgs.threads * CELL_COLUMNS + CELL.FREED] -= 5;
  z.invalidate(0, 7);
  tree.reap();
  t.equal(z.memcgs.state[row], MEMCG.FREE);
  t.same(problems(z), [], 'a same-filled page keeps no row');
});

t.test('a number of an agent that stands for a memcg that is gone', async (t) => {
  const z = newZswap({ exports: [{ name: 'a', pages: 64, memcg: 0, agent: true }], memcgs: MEMCGS });
  const check = () => disagreements(checked(z), { exports: [{ name: 'a' }] });
  const tree = new MemcgTree(z.shared, THREAD_MAIN);
  tree.attachNumber(0, 3, tree.create('x'));
  t.same(check(), []);
  tree.release(tree.lookup('x'));
  t.same(check(), ['1 exports, ranges or numbers of agents stand for a memcg that is not online']);
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

t.test('a list that bites its own tail, and one that leads nowhere', async (t) => {
  const ring = filled();
  ring.entries.next[ring.lru.tail[1]] = ring.lru.head[1];
  t.same(problems(ring), ['1 entries on an LRU list do not belong there']);
  for (const nowhere of [-1, 2 ** 30]) {
    const z = filled();
    z.entries.next[z.lru.tail[1]] = nowhere;
    t.same(problems(z), ['1 entries on an LRU list do not belong there']);
  }
  const zspages = filled();
  const page = zsmallocOf(zspages).groupHead.find((one) => one >= 0) ?? -1;
  zsmallocOf(zspages).next[page] = page;
  t.match(problems(zspages), [/^pages of the allocator in use: /, /^objects: /]);
});

/** Checks in steps of two, while somebody does `act` before the lock is taken for the n-th time. */
function checkBeside(
  z: Zswap,
  words: Int32Array,
  n: number,
  act: () => void,
): { check: PoolCheck | null; holds: number } {
  let check: PoolCheck | null = null;
  let holds = 0;
  const before = (seen: Seen): void => {
    if (seen.op === 'lock' && seen.words === words && seen.index === 1 && ++holds === n) act();
  };
  passing(() => {
    check = checkNow(z.shared, 2);
  }, before);
  return { check, holds };
}

t.test('the lock of a list is dropped after each piece, and nobody waits for the whole list', async (t) => {
  const z = filled();
  const { check, holds } = checkBeside(z, z.lru.lock, 0, () => undefined);
  t.match(check, { entries: { on_lru: 6 } });
  // One for the stamp, and one for the piece that finds nothing more.
  t.equal(holds, 1 + 6 / 2 + 1);
});

t.test('a list that changes between two pieces gives no verdict, wherever the walk stands', async (t) => {
  const last = (z: Zswap): number => z.lru.tail[1];
  const moves: Record<string, (z: Zswap) => void> = {
    'one that was seen goes to the tail': (z) => lru.moveToTail(z.lru, z.entries, z.lru.head[1]),
    // Count and tail are as before, and so is what comes before and after the second.
    'two go to the tail, and the old tail behind them': (z) => {
      const [first, second] = [z.lru.head[1], z.entries.next[z.lru.head[1]]];
      for (const e of [first, second, last(z)]) lru.moveToTail(z.lru, z.entries, e);
    },
    'one is freed': (z) => z.invalidate(0, 1),
    'one is taken off and put back': (z) => {
      const e = z.lru.head[1];
      lru.isolateIfLinked(z.lru, z.entries, e);
      lru.putback(z.lru, z.entries, e);
    },
  };
  for (const [what, act] of Object.entries(moves)) {
    for (const n of [2, 3, 4, 5]) {
      const z = filled();
      t.equal(checkBeside(z, z.lru.lock, n, () => act(z)).check, null, `${what}, before hold ${n}`);
      t.same(problems(z), [], 'and the next look finds nothing wrong');
    }
  }
});

t.test('what comes to a list while it is looked at makes no noise by itself', async (t) => {
  const z = filled();
  const before = stamp(z.shared);
  t.not(checkBeside(z, z.lru.lock, 3, () => put(z, 7, makePage('text', 7))).check, null);
  t.not(stamp(z.shared), before, 'it is the stamp that tells');
});

t.test('a zspage that goes to another group while its class is looked at gives no verdict', async (t) => {
  const z = newZswap();
  for (let slot = 0; slot < 40; slot++) put(z, slot, makePage('text', slot));
  const zs = zsmallocOf(z);
  const c = zs.classOfZspage[0];
  let holds = 0;
  let check: PoolCheck | null | undefined;
  passing(
    () => {
      check = checkNow(z.shared, 2);
    },
    ({ op, words, index }) => {
      if (op === 'lock' && words === zs.classLock && index === c && ++holds === 3)
        for (let slot = 0; slot < 20; slot++) z.invalidate(0, slot);
    },
  );
  t.equal(check, null);
});

t.test('a sum of bits that is not kept right is named with its export', async (t) => {
  const z = filled();
  z.shared.users.words[1][0] = 7;
  z.shared.lost.words[0][9] = 1 << 31;
  t.same(problems(z), ['lost_pages of a: 0, not 1', 'used_pages of b: 0, not 3']);
});

t.test('an object that outlived its entry, and a counter that is wrong', async (t) => {
  const z = filled();
  z.objects.alloc(77, 200);
  z.counters[POOL.stored_pages]++;
  t.same(problems(z), [`stored_pages: ${SLOTS.length + 1}, not ${SLOTS.length}`, 'objects: 7, not 6']);
});

t.test('what is under way is counted, and what was is noticed', async (t) => {
  const z = filled();
  const quiet = { pins: 0, writebacks: 0, claims: 0, orders: 0, shrinker: 0, swapoffs: 0 };
  t.same(busy(z.shared), quiet);
  const r = z.pin(0, 5);
  const row = standing(z.shared.claims, 0, 512, 1024, 2);
  t.same(busy(z.shared), { ...quiet, pins: 1, claims: 1 });
  z.unpin(r);
  release(z.shared.claims, row, z.shared.boxes);
  t.same(busy(z.shared), quiet);
  const before = stamp(z.shared);
  put(z, 9, makePage('text', 9));
  t.not(stamp(z.shared), before);
});

for (const allocator of ['zsmalloc', 'zbud', 'z3fold'] as const) {
  t.test(`an entry whose object is another's, or of another size, ${allocator}`, async (t) => {
    const z = newZswap({ allocator });
    for (let slot = 1; slot <= 6; slot++) put(z, slot, makePage('text', slot));
    t.same(problems(z), []);
    const [{ location }] = poolsOf(z.shared.zs);
    const { 1: first } = location;
    location[1] = location[2] + (allocator === 'zsmalloc' ? 0 : 4);
    t.match(problems(z), ['1 entries have no object of their size where they say']);
    location[1] = first;
    t.same(problems(z), []);
  });
}
