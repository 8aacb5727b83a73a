// The tree of memcgs: what the main thread may do with it, in the words of the kernel, and when a row is free again.
import t from 'tap';
import { MEMCGS_MAX, THREAD_MAIN } from '#src/pool/limits.js';
import {
  CELL,
  countOf,
  currentOf,
  DEPTH_MAX,
  isOnline,
  limitOf,
  nameOf,
  onlineRows,
  pathOf,
  writesBack,
} from '#src/pool/memcg.js';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import { checkEmpty, checkLists, makePage, newZswap, put, type TestZswap, take } from '../support/pool.ts';
import { randoms } from '../support/stress.ts';

/** Export 0 is in `a/b`. */
function tree(): { z: TestZswap; tree: MemcgTree } {
  const z = newZswap({ memcgs: [{ name: 'a/b', max: Number.POSITIVE_INFINITY, writeback: true }] });
  return { z, tree: new MemcgTree(z.shared, THREAD_MAIN) };
}

t.test('what is there, by path', async (t) => {
  const { z, tree: own } = tree();
  t.equal(pathOf(z.memcgs, own.lookup('/a/b')), 'a/b');
  t.equal(own.lookup('a/b'), own.lookup('/a/b'));
  t.equal(own.lookup('/'), 0);
  t.equal(own.lookup(''), 0);
  const list = (path: string) => own.children(own.lookup(path)).map((m) => nameOf(z.memcgs, m));
  t.strictSame([list('/'), list('a'), list('a/b')], [['a'], ['b'], []]);
  const name = 'ä'.repeat(127);
  t.equal(pathOf(z.memcgs, own.create(name)), name);
});

t.test('a name that begins with a byte order mark is another name', async (t) => {
  const { z, tree: own } = tree();
  const marked = own.create('\uFEFFa');
  t.equal(pathOf(z.memcgs, marked), '\uFEFFa');
  t.not(own.lookup('a'), marked);
  own.offline('\uFEFFa');
  t.throws(() => own.lookup('\uFEFFa'), { code: 'ENOENT' });
  t.ok(own.lookup('a/b') > 0);
});

t.test('errors are the kernel’s', async (t) => {
  const { tree: own } = tree();
  const cases: [string, () => unknown, string][] = [
    ['no such memcg', () => own.lookup('a/x'), 'ENOENT'],
    ['mkdir without its parent', () => own.create('x/y'), 'ENOENT'],
    ['mkdir of what is there', () => own.create('/a/b'), 'EEXIST'],
    ['mkdir of the root', () => own.create('/'), 'EEXIST'],
    ['rmdir of what has memcgs', () => own.offline('a'), 'EBUSY'],
    ['rmdir of what has an export', () => own.offline('a/b'), 'EBUSY'],
    ['rmdir of the root', () => own.offline('/'), 'EBUSY'],
    ['rmdir of what is not there', () => own.offline('x'), 'ENOENT'],
    ['a name with ..', () => own.create('a/..'), 'EINVAL'],
    ['a name with .', () => own.lookup('./a'), 'EINVAL'],
    ['an empty name', () => own.create('a//b'), 'EINVAL'],
    ['a name of 256 bytes', () => own.create('ä'.repeat(128)), 'EINVAL'],
    ['a newline', () => own.create('a\nb'), 'EINVAL'],
    ['a zero', () => own.create('a\0b'), 'EINVAL'],
    ['half of a surrogate pair', () => own.create('a\udc00'), 'EINVAL'],
    ['the name of a file', () => own.create('a/memory.zswap.max'), 'EINVAL'],
    ['a limit below zero', () => own.setMax('a', -1), 'EINVAL'],
    ['a limit that is no number', () => own.setMax('a', Number.NaN), 'EINVAL'],
    ['a limit of the root', () => own.setMax('/', 1), 'ENOENT'],
    [
      'a path that is too deep',
      () =>
        own.lookup(
          Array(DEPTH_MAX + 1)
            .fill('a')
            .join('/'),
        ),
      'EAGAIN',
    ],
  ];
  for (const [what, act, code] of cases) t.throws(act, { code, message: new RegExp(`^${code}: `) }, what);
});

t.test('limits and writeback count for what is below', async (t) => {
  const { z, tree: own } = tree();
  const m = own.create('a/b/c');
  t.equal(limitOf(z.memcgs, m), Number.POSITIVE_INFINITY);
  own.setMax('a', 5000);
  own.setMax('a/b/c', 6000);
  t.equal(limitOf(z.memcgs, m), 5000);
  own.setMax('a/b', 0);
  t.equal(limitOf(z.memcgs, m), 0);
  own.setMax('a/b', Number.POSITIVE_INFINITY);
  t.equal(limitOf(z.memcgs, m), 5000);
  for (const path of ['/', 'a', 'a/b/c']) {
    own.setWriteback(path, false);
    t.notOk(writesBack(z.memcgs, m), path);
    own.setWriteback(path, true);
    t.ok(writesBack(z.memcgs, m));
  }
});

t.test('what is stored is charged to the whole path, and events are counted for it', async (t) => {
  const { z, tree: own } = tree();
  const [a, b] = [own.lookup('a'), own.lookup('a/b')];
  const beside = own.create('a/beside');
  put(z, 1, makePage('text', 1));
  put(z, 2, makePage('random', 2));
  put(z, 3, makePage('same', 3));
  take(z, 1);
  const { charged } = z.lru;
  t.ok(charged[b] > 4096);
  for (const m of [a, b]) {
    t.equal(currentOf(z.memcgs, m), charged[b]);
    const counts = [CELL.PAGES, CELL.INCOMPRESSIBLE, CELL.ZSWPOUT, CELL.ZSWPIN].map((what) =>
      countOf(z.memcgs, m, what),
    );
    t.strictSame(counts, [2, 1, 2, 1]);
  }
  t.equal(charged[a], 0, 'its own list is empty');
  t.equal(currentOf(z.memcgs, beside), 0);
  z.protocols.entry.shrinkOne(z, b, z.protocols.busy);
  for (const m of [a, b]) t.strictSame([countOf(z.memcgs, m, CELL.ZSWPWB), countOf(z.memcgs, m, CELL.PAGES)], [1, 1]);
  t.equal(currentOf(z.memcgs, a), charged[b]);
});

t.test('rmdir of a memcg with pages: they are the coldest of its parent', async (t) => {
  const { z, tree: own } = tree();
  const [a, b] = [own.lookup('a'), own.lookup('a/b')];
  for (let slot = 1; slot <= 3; slot++) put(z, slot, makePage('text', slot));
  own.attach(0, 'a');
  for (let slot = 4; slot <= 5; slot++) put(z, slot, makePage('text', slot));
  const current = currentOf(z.memcgs, a);
  own.offline('a/b');
  t.throws(() => own.lookup('a/b'), { code: 'ENOENT' });
  t.strictSame([own.children(a), own.offlineRows], [[], 1]);
  const slots: number[] = [];
  for (let e = z.lru.head[a]; e !== 0; e = z.entries.next[e]) slots.push(z.entries.slot[e]);
  t.strictSame(slots, [1, 2, 3, 4, 5]);
  t.strictSame([z.lru.count[a], z.lru.count[b], z.lru.charged[b]], [5, 0, 0]);
  t.equal(currentOf(z.memcgs, a), current);
  checkLists(z.shared);
  t.not(own.create('a/c'), b, 'entries still name the row');
  for (let slot = 1; slot <= 3; slot++) z.invalidate(0, slot);
  own.reap();
  t.equal(own.create('a/b'), b, 'and nobody names it now');
  t.equal(currentOf(z.memcgs, b), 0);
  for (let slot = 4; slot <= 5; slot++) z.invalidate(0, slot);
  checkEmpty(t, z.shared);
});

t.test('mkdir and rmdir in turn need a few rows, and mkdir alone all of them', async (t) => {
  const { z, tree: own } = tree();
  for (let i = 0; i < 10_000; i++) {
    own.create(`x${i}`);
    own.offline(`x${i}`);
  }
  t.ok(z.memcgs.control[0] < 200, `${z.memcgs.control[0]} rows were used`);
  own.reap();
  const rest = MEMCGS_MAX - onlineRows(z.memcgs).length;
  for (let i = 0; i < rest; i++) own.create(`y${i}`);
  t.throws(() => own.create('z'), { code: 'ENOSPC' });
});

t.test('a random life of a tree: lists, charges and paths are those of a model', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = randoms(seed);
    const { z, tree: own } = tree();
    /** Path by memcg that is online, bytes by slot, and where each slot's page is. */
    const paths = ['a', 'a/b'];
    const home = new Map<number, string>();
    const bytes = new Map<number, number>();
    let attached = 'a/b';
    for (let i = 0; i < 300; i++) {
      const path = paths[random(paths.length)];
      const what = random(10);
      if (what < 2 && path.length < 12) {
        const name = `${path}/${i}`;
        own.create(name);
        paths.push(name);
      } else if (what < 4) {
        own.attach(0, path);
        attached = path;
      } else if (what < 7) {
        const slot = random(40);
        put(z, slot, makePage('text', i));
        home.set(slot, attached);
        bytes.set(slot, z.entries.length[z.lru.tail[own.lookup(attached)]]);
      } else if (what < 8) {
        const slot = random(40);
        z.invalidate(0, slot);
        home.delete(slot);
      } else if (path !== 'a' && path !== attached && !paths.some((one) => one.startsWith(`${path}/`))) {
        own.offline(path);
        paths.splice(paths.indexOf(path), 1);
        for (const [slot, at] of home) if (at === path) home.set(slot, path.slice(0, path.lastIndexOf('/')));
      }
      checkLists(z.shared);
      for (const one of paths) {
        const inside = [...home].filter(([, at]) => at === one || at.startsWith(`${one}/`));
        const sum = inside.reduce((total, [slot]) => total + (bytes.get(slot) ?? 0), 0);
        const m = own.lookup(one);
        if (!isOnline(z.memcgs, m)) throw new Error(`${one} is not online`);
        if (currentOf(z.memcgs, m) !== sum) throw new Error(`seed ${seed}, step ${i}: ${one} has not ${sum} bytes`);
      }
    }
    for (const slot of home.keys()) z.invalidate(0, slot);
    checkEmpty(t, z.shared);
  }
});
