// An entry is given from memcg to memcg: the list that has it, what both are charged, and what is above both.
import t from 'tap';
import { allocEntry, createEntries, NONE } from '#src/pool/entries.js';
import { createLists } from '#src/pool/list_links.js';
import * as lru from '#src/pool/lru.js';
import { CELL, countOf, createMemcgs, currentOf, MEMCG, TABLE } from '#src/pool/memcg.js';
import * as sync from '#src/shm/sync.js';
import { checkLru } from '../support/check_lru.ts';

const [ABOVE, A, B, BELOW_A] = [1, 2, 3, 4];
const BYTES = 100;

/** ABOVE has A and B, A has BELOW_A; one entry of A. */
function table() {
  const memcgs = createMemcgs(5, 1);
  memcgs.parent.set([0, 0, ABOVE, ABOVE, A]);
  memcgs.state.fill(MEMCG.ONLINE);
  memcgs.control[TABLE.END] = 5;
  const list = lru.openLru(createLists(5), memcgs, 0);
  const entries = createEntries(4);
  const e = allocEntry(entries);
  entries.length[e] = BYTES;
  entries.memcg[e] = A;
  lru.add(list, entries, e);
  const bytes = () => [ABOVE, A, B, BELOW_A].map((m) => currentOf(memcgs, m));
  const charged = () => [ABOVE, A, B, BELOW_A].map((m) => list.charged[m]);
  return { memcgs, list, entries, e, bytes, charged };
}

t.test('list, charge and pages go, and what is above both keeps what it has', async (t) => {
  const { memcgs, list, entries, e, bytes, charged } = table();
  const addedAbove = countOf(memcgs, ABOVE, CELL.ADDED);
  lru.give(list, entries, e, B);
  t.strictSame(bytes(), [BYTES, 0, BYTES, 0]);
  t.strictSame(charged(), [0, 0, BYTES, 0]);
  t.strictSame([list.head[A], list.head[B], list.count[A], list.count[B]], [NONE, e, 0, 1]);
  t.equal(entries.memcg[e], B);
  t.equal(countOf(memcgs, ABOVE, CELL.ADDED), addedAbove, 'above both nothing came and nothing went');
  t.strictSame(
    [ABOVE, A, B].map((m) => countOf(memcgs, m, CELL.PAGES)),
    [1, 0, 1],
  );
  t.strictSame(
    [ABOVE, A, B].map((m) => countOf(memcgs, m, CELL.ZSWPOUT)),
    [1, 1, 1],
    'it was swapped out by whom it is given to, and once',
  );
  for (const m of [A, B]) checkLru(list, entries, m);
});

t.test('to a memcg below, and back to the one above it', async (t) => {
  const { list, entries, e, bytes } = table();
  lru.give(list, entries, e, BELOW_A);
  t.strictSame(bytes(), [BYTES, BYTES, 0, BYTES]);
  lru.give(list, entries, e, ABOVE);
  t.strictSame(bytes(), [BYTES, 0, 0, 0]);
  t.equal(list.head[ABOVE], e);
});

t.test('one that a protocol has taken off its list stays off, and is put back to the new one', async (t) => {
  const { list, entries, e, bytes, charged } = table();
  sync.lock(list.lock, A);
  lru.isolate(list, entries, A, e);
  sync.unlock(list.lock, A);
  lru.give(list, entries, e, B);
  t.strictSame([bytes()[2], charged()[2], list.count[B], list.head[B]], [BYTES, BYTES, 0, NONE]);
  lru.putback(list, entries, e);
  t.strictSame([list.count[B], list.head[B]], [1, e]);
  checkLru(list, entries, B);
});

t.test('to a memcg that is offline: the page is its, and the list its parent’s', async (t) => {
  const { list, entries, e, bytes } = table();
  lru.reparent(list, entries, B);
  lru.give(list, entries, e, B);
  t.strictSame([bytes()[2], list.head[B], list.head[ABOVE]], [BYTES, NONE, e]);
  checkLru(list, entries, ABOVE);
});

t.test('to the one that has it: nothing', async (t) => {
  const { list, entries, e, memcgs } = table();
  lru.give(list, entries, e, A);
  t.strictSame([list.head[A], countOf(memcgs, A, CELL.ZSWPOUT)], [e, 1]);
});
