// Dead pages: what is counted of them, where each policy puts them, and what makes them live again.
import t from 'tap';
import { markDead, markLive } from '#src/pool/dead.js';
import { allocEntry, createEntries, NONE } from '#src/pool/entries.js';
import { createLists } from '#src/pool/list_links.js';
import * as lru from '#src/pool/lru.js';
import { createMemcgs, MEMCG, TABLE } from '#src/pool/memcg.js';
import { DEAD_POLICIES, type DeadPolicy } from '#src/pool/policies.js';
import * as sync from '#src/shm/sync.js';
import { checkLru } from '../support/check_lru.ts';

const [A, B] = [1, 2];

/** Three entries of memcg A, of 10, 20 and 30 bytes, coldest first. */
function table(policy: DeadPolicy = 'first') {
  const memcgs = createMemcgs(3, 1);
  memcgs.state.fill(MEMCG.ONLINE);
  memcgs.control[TABLE.END] = 3;
  const list = lru.openLru(createLists(3), memcgs, 0, false, policy === 'last');
  const entries = createEntries(5, true);
  const three = [10, 20, 30].map((bytes) => {
    const e = allocEntry(entries);
    entries.length[e] = bytes;
    entries.memcg[e] = A;
    entries.referenced[e] = 1;
    lru.add(list, entries, e);
    return e;
  });
  const order = (m = A) => {
    const found: number[] = [];
    for (let e = list.head[m]; e !== NONE; e = entries.next[e]) found.push(e);
    return found;
  };
  return { list, entries, three, order };
}

const orders: Readonly<Record<DeadPolicy, (a: number, b: number, c: number) => number[]>> = {
  ignore: (a, b, c) => [a, b, c],
  first: (a, b, c) => [b, a, c],
  last: (a, b, c) => [a, c, b],
  drop: (a, b, c) => [a, b, c],
};
for (const policy of DEAD_POLICIES) {
  t.test(`${policy}: its bytes are counted once, and its place`, async (t) => {
    const { list, entries, three, order } = table(policy);
    const [a, b, c] = three;
    t.equal(markDead(list, entries, b, policy), true);
    t.equal(markDead(list, entries, b, policy), false);
    t.equal(list.dead[A], 20);
    t.strictSame(order(), orders[policy](a, b, c));
    t.equal(entries.referenced[b], policy === 'ignore' ? 1 : 0, 'no second chance');
    checkLru(list, entries, A);
  });
}

t.test('the coldest and the only one stay where they are', async (t) => {
  const { list, entries, three, order } = table();
  const [a, b, c] = three;
  markDead(list, entries, a, 'first');
  t.strictSame(order(), [a, b, c]);
  markDead(list, entries, c, 'first');
  t.strictSame(order(), [c, a, b]);
  for (const e of [a, b]) lru.del(list, entries, e);
  markDead(list, entries, c, 'first');
  t.strictSame(order(), [c]);
  checkLru(list, entries, A);
});

t.test('freed, given away, charged again: it is dead no longer', async (t) => {
  const { list, entries, three } = table();
  const [a, b, c] = three;
  for (const e of three) markDead(list, entries, e, 'first');
  t.equal(list.dead[A], 60);
  lru.del(list, entries, a);
  t.equal(list.dead[A], 50);
  lru.give(list, entries, b, B);
  t.strictSame([list.dead[A], list.dead[B]], [30, 0]);
  markLive(list, entries, c);
  t.equal(list.dead[A], 0);
  markLive(list, entries, c);
  t.equal(list.dead[A], 0);
});

t.test('of a memcg that goes offline its parent has the dead as well', async (t) => {
  const { list, entries, three } = table();
  markDead(list, entries, three[1], 'first');
  lru.reparent(list, entries, A);
  t.strictSame([list.dead[A], list.dead[0]], [0, 20]);
  lru.del(list, entries, three[1]);
  t.equal(list.dead[0], 0);
});

t.test('one that a protocol has taken off its list is marked where it is', async (t) => {
  const { list, entries, three, order } = table();
  sync.lock(list.lock, A);
  lru.isolate(list, entries, A, three[1]);
  sync.unlock(list.lock, A);
  markDead(list, entries, three[1], 'first');
  t.equal(list.dead[A], 20);
  t.strictSame(order(), [three[0], three[2]]);
  lru.putback(list, entries, three[1]);
  lru.del(list, entries, three[1]);
  t.equal(list.dead[A], 0);
});

t.test('last: whatever comes later comes before the dead, and one that lives again is the warmest', async (t) => {
  const { list, entries, three, order } = table('last');
  const [a, b, c] = three;
  markDead(list, entries, a, 'last');
  const d = allocEntry(entries);
  entries.length[d] = 40;
  entries.memcg[d] = A;
  lru.add(list, entries, d);
  t.strictSame(order(), [b, c, d, a]);
  lru.moveToTail(list, entries, b);
  t.strictSame(order(), [c, d, b, a]);
  markDead(list, entries, c, 'last');
  markLive(list, entries, a);
  t.strictSame(order(), [d, b, a, c]);
  for (const e of [d, b, a]) lru.del(list, entries, e);
  t.strictSame(order(), [c], 'and they go when there is nothing else');
  checkLru(list, entries, A);
});

t.test(
  'last: of a memcg that goes offline the live are the coldest of its parent, and the dead its last',
  async (t) => {
    const { list, entries, three, order } = table('last');
    const [a, b, c] = three;
    const ofParent = allocEntry(entries);
    entries.length[ofParent] = 40;
    lru.add(list, entries, ofParent);
    markDead(list, entries, b, 'last');
    lru.reparent(list, entries, A);
    t.strictSame([order(), order(0)], [[], [a, c, ofParent, b]]);
    lru.moveToTail(list, entries, a);
    t.strictSame(order(0), [c, ofParent, a, b]);
    checkLru(list, entries, 0);
    markDead(list, entries, c, 'last');
    for (const e of [a, b, ofParent]) lru.del(list, entries, e);
    t.strictSame([order(0), list.firstDead[0]], [[c], c]);
  },
);
