// LRU lists against arrays: every sequence of operations on a few entries gives the array's order, count and charge.
import t from 'tap';
import { markDead, markLive } from '#src/pool/dead.js';
import { allocEntry, createEntries, NONE } from '#src/pool/entries.js';
import { createLists } from '#src/pool/list_links.js';
import * as lru from '#src/pool/lru.js';
import { createMemcgs } from '#src/pool/memcg.js';
import * as sync from '#src/shm/sync.js';
import { checkLru } from '../support/check_lru.ts';

/** A list with `size` entries on it, entry i of 10 * i bytes, and the array that says what must be on it. */
class Pair {
  readonly entries;
  readonly list: lru.Lru;
  private inOrder: number[] = [];
  isolated: number[] = [];
  charged = 0;

  /** `deadLast`: with dead entries, which go last. */
  constructor(size: number, deadLast = false) {
    this.list = lru.openLru(createLists(4), createMemcgs(4, 1), 0, false, deadLast);
    this.entries = createEntries(size + 1, deadLast);
    for (let i = 1; i <= size; i++) {
      const e = allocEntry(this.entries);
      this.entries.length[e] = 10 * e;
      this.add(e);
    }
  }

  get order(): number[] {
    return this.inOrder;
  }

  /** As one says it of a list without dead ones; they keep their order, behind all others. */
  set order(order: number[]) {
    const isDead = (e: number): boolean => this.entries.dead[e] === 1;
    this.inOrder = [...order.filter((e) => !isDead(e)), ...order.filter(isDead)];
  }

  add(e: number): void {
    lru.add(this.list, this.entries, e);
    this.order = [...this.order, e];
    this.charged += 10 * e;
  }

  /** One of nine things with entry `e`; false when it makes no sense in this state. */
  act(what: string, e: number): boolean {
    const { entries, list } = this;
    const on = this.order.includes(e);
    const off = this.isolated.includes(e);
    const rest = this.order.filter((other) => other !== e);
    if (what === 'add') {
      if (on || off) return false;
      this.add(e);
    } else if (what === 'del') {
      if (off) return false;
      lru.del(list, entries, e);
      if (on) this.charged -= 10 * e;
      this.order = rest;
    } else if (what === 'moveToTail') {
      lru.moveToTail(list, entries, e);
      if (on) this.order = [...rest, e];
    } else if (what === 'rotate') {
      if (!on) return false;
      sync.lock(list.lock, 0);
      lru.rotate(list, entries, 0, e);
      sync.unlock(list.lock, 0);
      this.order = [...rest, e];
    } else if (what === 'isolate') {
      if (!on) return false;
      sync.lock(list.lock, 0);
      lru.isolate(list, entries, 0, e);
      sync.unlock(list.lock, 0);
      this.order = rest;
      this.isolated.push(e);
    } else if (what === 'die') {
      if (!(on || off) || !markDead(list, entries, e, 'last')) return false;
      if (on) this.order = [...rest, e];
    } else if (what === 'live') {
      if (!(on || off) || entries.dead[e] === 0) return false;
      markLive(list, entries, e);
      if (on) this.order = [...rest, e];
    } else {
      if (!off) return false;
      if (what === 'putback') {
        lru.putback(list, entries, e);
        this.order = [...this.order, e];
      } else {
        lru.del(list, entries, e);
        this.charged -= 10 * e;
      }
      this.isolated = this.isolated.filter((other) => other !== e);
    }
    return true;
  }

  /** What differs from the array, or an empty string. */
  differs(): string {
    const forward: number[] = [];
    for (let e = this.list.head[0]; e !== NONE && forward.length < 99; e = this.entries.next[e]) forward.push(e);
    const backward: number[] = [];
    for (let e = this.list.tail[0]; e !== NONE && backward.length < 99; e = this.entries.prev[e]) backward.push(e);
    if (forward.join() !== this.order.join()) return `forward ${forward}, not ${this.order}`;
    if (backward.reverse().join() !== this.order.join()) return `backward ${backward}, not ${this.order}`;
    if (this.list.count[0] !== this.order.length) return `count ${this.list.count[0]}`;
    if (this.list.charged[0] !== this.charged) return `charged ${this.list.charged[0]}, not ${this.charged}`;
    const firstDead = this.order.find((e) => this.entries.dead[e] === 1) ?? NONE;
    if (this.list.firstDead[0] !== firstDead) return `the dead begin at ${this.list.firstDead[0]}, not ${firstDead}`;
    if (this.isolated.length === 0) checkLru(this.list, this.entries, 0);
    return '';
  }
}

const ACTIONS = ['add', 'del', 'moveToTail', 'rotate', 'isolate', 'putback', 'free'];

/** Runs every sequence of `depth` actions that makes sense; answers how many, and throws at the first difference. */
function exhaust(size: number, depth: number, actions = ACTIONS): number {
  const deadLast = actions !== ACTIONS;
  let runs = 0;
  const path: [string, number][] = [];
  const descend = (): void => {
    for (const what of actions) {
      for (let e = 1; e <= size; e++) {
        const pair = new Pair(size, deadLast);
        for (const [earlier, other] of path) pair.act(earlier, other);
        if (!pair.act(what, e)) continue;
        runs++;
        const wrong = pair.differs();
        if (wrong !== '') throw new Error(`${JSON.stringify([...path, [what, e]])}: ${wrong}`);
        if (path.length + 1 === depth) continue;
        path.push([what, e]);
        descend();
        path.pop();
      }
    }
  };
  descend();
  return runs;
}

t.test('three actions on four entries, every way', async (t) => {
  t.ok(exhaust(4, 3) > 2000);
});

t.test('two actions on five entries, every way', async (t) => {
  t.ok(exhaust(5, 2) > 200);
});

/** All orders of the numbers 1..size. */
function permutations(size: number): number[][] {
  if (size === 0) return [[]];
  return permutations(size - 1).flatMap((shorter) =>
    Array.from({ length: size }, (_, at) => [...shorter.slice(0, at), size, ...shorter.slice(at)]),
  );
}

for (const what of ['del', 'moveToTail', 'rotate', 'isolate']) {
  t.test(`${what} on all of five entries, in every order`, async (t) => {
    const orders = permutations(5);
    t.equal(orders.length, 120);
    for (const order of orders) {
      const pair = new Pair(5);
      for (const e of order) {
        pair.act(what, e);
        const wrong = pair.differs();
        if (wrong !== '') t.fail(`${what} in order ${order}: ${wrong}`);
      }
      if (what !== 'isolate') continue;
      for (const e of order) pair.act('putback', e);
      if (pair.differs() !== '' || pair.order.join() !== order.join()) t.fail(`putback in order ${order}`);
    }
  });
}

t.test('checkLru notices a broken link, a wrong count and a wrong charge', async (t) => {
  const broken = (change: (pair: Pair) => void): (() => void) => {
    const pair = new Pair(3);
    change(pair);
    return () => checkLru(pair.list, pair.entries, 0);
  };
  t.throws(
    broken((pair) => {
      pair.entries.prev[2] = 3;
    }),
    /has prev/,
  );
  t.throws(
    broken((pair) => {
      pair.list.count[0]++;
    }),
    /counted/,
  );
  t.throws(
    broken((pair) => {
      pair.entries.length[2] = 5;
    }),
    /charged/,
  );
});

t.test('memcgs have lists of their own', async (t) => {
  const pair = new Pair(2);
  const entries = createEntries(3);
  const e = allocEntry(entries);
  entries.memcg[e] = 1;
  lru.add(pair.list, entries, e);
  t.equal(pair.differs(), '');
  t.strictSame([pair.list.head[1], pair.list.count[1]], [e, 1]);
});

t.test('with dead ones that go last, three actions on three entries, every way', async (t) => {
  t.ok(exhaust(3, 3, [...ACTIONS, 'die', 'live']) > 1000);
});
