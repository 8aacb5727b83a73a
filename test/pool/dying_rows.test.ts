// When the row of a memcg that has gone offline is free: not while somebody may still store, count or name it.
import t from 'tap';
import { THREAD_MAIN } from '#src/pool/limits.js';
import { CELL, CELL_COLUMNS, countOf } from '#src/pool/memcg.js';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import { checkEmpty, makePage, newZswap, pinned, put, type TestZswap } from '../support/pool.ts';

/** Export 0 is in `a/b`. */
function tree(): { z: TestZswap; tree: MemcgTree } {
  const z = newZswap({ memcgs: [{ name: 'a/b', max: Number.POSITIVE_INFINITY, writeback: true }] });
  return { z, tree: new MemcgTree(z.shared, THREAD_MAIN) };
}

t.test('a row is not given away while somebody may be about to store for it', async (t) => {
  const { z, tree: own } = tree();
  const m = own.create('x');
  own.attach(0, 'x');
  own.attach(0, 'a/b');
  pinned(z, 0, 7, () => {
    own.offline('x');
    t.not(own.create('y'), m);
  });
  own.reap();
  t.equal(own.create('z'), m);
});

t.test('a row that a request holds is given to nobody until the last one lets it go', async (t) => {
  const { tree: own } = tree();
  const m = own.create('x');
  const holds = [own.hold(m), own.hold(m)];
  own.offline('x');
  for (const release of holds) {
    own.reap();
    t.equal(own.offlineRows, 1);
    release();
  }
  own.reap();
  t.equal(own.create('y'), m);
});

/** `act` runs in the moment after somebody has written `column` of row `m`: as the main thread may, beside a lane. */
function besideWrite(z: TestZswap, m: number, column: number, act: () => void): void {
  const { cells, threads } = z.memcgs;
  const [first, end] = [m, m + 1].map((row) => row * threads * CELL_COLUMNS);
  const watched = new Proxy(cells, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
    set: (target, key, value) => {
      const written = Reflect.set(target, key, value, target);
      const at = Number(key);
      if (at >= first && at < end && at % CELL_COLUMNS === column) act();
      return written;
    },
  });
  Object.assign(z.lru, { memcgs: { ...z.memcgs, cells: watched } });
}

t.test('an entry that goes is uncharged from its own path, though its row is given away meanwhile', async (t) => {
  for (const kind of ['text', 'random'] as const) {
    const { z, tree: own } = tree();
    own.create('gone');
    const row = own.create('gone/x');
    own.create('beside');
    own.attach(0, 'gone/x');
    put(z, 1, makePage(kind, 1));
    own.attach(0, 'a/b');
    own.offline('gone/x');
    own.offline('gone');
    let next = 0;
    besideWrite(z, row, CELL.FREED, () => {
      own.reap();
      if (next === 0) next = own.create('beside/y');
    });
    z.invalidate(0, 1);
    t.equal(next, row, 'the row is somebody else’s as soon as it is empty');
    for (const m of [next, own.lookup('beside')]) {
      const counts = Object.values(CELL).map((column) => countOf(z.memcgs, m, column));
      t.strictSame(counts, Array(8).fill(0));
    }
    own.reap();
    own.reap();
    t.equal(own.offlineRows, 0, 'and what was above it is free as well');
  }
});

t.test('a row that is empty waits for who still counts there: whoever wrote its last page back', async (t) => {
  const { z, tree: own } = tree();
  const row = own.create('x');
  own.attach(0, 'x');
  put(z, 1, makePage('text', 1));
  own.attach(0, 'a/b');
  own.offline('x');
  let next = 0;
  besideWrite(z, row, CELL.FREED, () => {
    own.reap();
    if (next === 0) next = own.create('y');
  });
  z.protocols.entry.shrinkOne(z, 0, z.protocols.busy);
  t.not(next, row, 'its slot is pinned');
  t.equal(countOf(z.memcgs, next, CELL.ZSWPWB), 0);
  own.reap();
  t.equal(own.create('z'), row);
  t.equal(countOf(z.memcgs, row, CELL.ZSWPWB), 0);
});

t.test('a row waits for those below it that are offline', async (t) => {
  const { z, tree: own } = tree();
  own.create('p');
  const child = own.create('p/c');
  own.attach(0, 'p/c');
  put(z, 1, makePage('text', 1));
  own.attach(0, 'a');
  own.offline('p/c');
  own.offline('p');
  t.equal(own.offlineRows, 2);
  t.equal(z.lru.count[0], 1, 'the root has the page');
  t.equal(z.entries.memcg[z.lru.head[0]], child);
  z.invalidate(0, 1);
  own.reap();
  own.reap();
  t.equal(own.offlineRows, 0);
  checkEmpty(t, z.shared);
});

t.test('a chain of rows is free in one call, in whatever order their pages went', async (t) => {
  const { tree: own } = tree();
  const rows: number[] = [];
  for (let depth = 1; depth <= 61; depth++) rows.push(own.create('d/'.repeat(depth).slice(0, -1)));
  const holds = rows.map((m) => own.hold(m));
  for (let depth = 61; depth > 0; depth--) own.offline('d/'.repeat(depth).slice(0, -1));
  own.reap();
  t.equal(own.offlineRows, 61);
  for (const release of holds) release();
  own.reap();
  t.equal(own.offlineRows, 0);
});
