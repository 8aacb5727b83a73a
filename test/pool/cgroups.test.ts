// The cgroups of a guest, as its agent names them: memcgs that come and go, numbers that are given out again, and bounds.
import t from 'tap';
import { Cgroups } from '#src/pool/cgroups.js';
import { GuestRows } from '#src/pool/guest_rows.js';
import { MEMCGS_MAX, THREAD_MAIN } from '#src/pool/limits.js';
import { chargePath, isOnline, MEMCG, nameOf, pathOf } from '#src/pool/memcg.js';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import { CGROUPS_MAX, NOBODY, ownerRow, rowOfNumber, setNumber } from '#src/pool/owners.js';
import { newZswap } from '../support/pool.ts';

/** Exports 0 and 1 are swap devices of one guest, and the memcg of export 2 is below theirs. */
function guest() {
  const z = newZswap({
    exports: [0, 0, 2].map((memcg, x) => ({ name: 'abc'[x], pages: 64, memcg, agent: true })),
    memcgs: [
      { name: 'vm', max: Number.POSITIVE_INFINITY, writeback: true },
      { name: 'vm/set', max: 4096, writeback: true },
      { name: 'vm/deep', max: Number.POSITIVE_INFINITY, writeback: true },
    ],
  });
  const { memcgs } = z;
  const tree = new MemcgTree(z.shared, THREAD_MAIN);
  const rows = new GuestRows(tree, [0, 1, 2]);
  const cgroups = new Cgroups(tree, rows, memcgs.owners, 0, 'vm');
  const others = ['vm', 'vm/deep'].map((base, i) => new Cgroups(tree, rows, memcgs.owners, i + 1, base));
  const names = (path: string) =>
    tree
      .children(tree.lookup(path))
      .map((m) => nameOf(memcgs, m))
      .filter((name) => name !== 'deep');
  const rowOf = (id: bigint) => pathOf(memcgs, rowOfNumber(memcgs.owners, 0, cgroups.numberOf(id) ?? NOBODY));
  const pathOfSlot = (slot: number) => pathOf(memcgs, ownerRow(memcgs.owners, 0, slot));
  return { z, memcgs, owners: memcgs.owners, tree, cgroups, others, names, rowOf, pathOfSlot };
}

t.test('what nobody claimed is unattributed, and the guest’s root is the memcg of the export', async (t) => {
  const { cgroups, rowOf, pathOfSlot } = guest();
  t.equal(pathOfSlot(5), 'vm/unattributed');
  t.ok(cgroups.name(1n, '/'));
  t.equal(rowOf(1n), 'vm');
});

t.test('a name makes what is above it, and its end takes it away again', async (t) => {
  const { cgroups, names, rowOf } = guest();
  t.ok(cgroups.name(7n, '/a/b/c'));
  t.equal(rowOf(7n), 'vm/a/b/c');
  t.strictSame(names('vm'), ['set', 'unattributed', 'a']);
  cgroups.gone(7n);
  t.equal(cgroups.numberOf(7n), undefined);
  t.strictSame(names('vm'), ['set', 'unattributed']);
  cgroups.gone(7n);
});

t.test(
  'slots of a cgroup that is gone are its parent’s, and its number is not given out before they are freed',
  async (t) => {
    const { cgroups, owners, pathOfSlot } = guest();
    cgroups.name(1n, '/a');
    cgroups.name(2n, '/a/b');
    const n = cgroups.numberOf(2n) ?? NOBODY;
    setNumber(owners, 0, 5, n);
    cgroups.gone(2n);
    t.equal(pathOfSlot(5), 'vm/a');
    cgroups.gone(1n);
    t.equal(pathOfSlot(5), 'vm');
    cgroups.reap();
    cgroups.name(3n, '/x');
    cgroups.name(4n, '/y');
    t.not(cgroups.numberOf(3n), n);
    t.not(cgroups.numberOf(4n), n);
    setNumber(owners, 0, 5, NOBODY);
    cgroups.reap();
    cgroups.name(5n, '/z');
    t.equal(cgroups.numberOf(5n), n);
  },
);

t.test('a parent that is gone before what is below it stays until that is gone', async (t) => {
  const { cgroups, names, rowOf } = guest();
  cgroups.name(1n, '/a');
  cgroups.name(2n, '/a/b');
  cgroups.gone(1n);
  t.equal(rowOf(2n), 'vm/a/b');
  cgroups.gone(2n);
  t.strictSame(names('vm'), ['set', 'unattributed']);
});

t.test(
  'the same path with another id was removed and made again; the same id with another path has moved',
  async (t) => {
    const { cgroups, memcgs, owners, rowOf } = guest();
    cgroups.name(1n, '/a');
    const before = rowOfNumber(owners, 0, cgroups.numberOf(1n) ?? NOBODY);
    t.ok(cgroups.name(2n, '/a'));
    t.equal(cgroups.numberOf(1n), undefined);
    t.equal(rowOf(2n), 'vm/a');
    t.ok(cgroups.name(2n, '/b'));
    t.equal(rowOf(2n), 'vm/b');
    t.notOk(isOnline(memcgs, before) && pathOf(memcgs, before) === 'vm/a');
  },
);

t.test('a memcg of the config keeps its settings when a cgroup of its name comes and goes', async (t) => {
  const { cgroups, tree, memcgs, rowOf } = guest();
  const set = tree.lookup('vm/set');
  cgroups.name(1n, '/set');
  t.equal(rowOf(1n), 'vm/set');
  cgroups.gone(1n);
  t.equal(tree.lookup('vm/set'), set);
  t.equal(memcgs.max[set], 4096);
});

t.test('a memcg that somebody has made below one of a cgroup outlives it', async (t) => {
  const { cgroups, tree } = guest();
  cgroups.name(1n, '/a');
  tree.create('vm/a/mine');
  cgroups.gone(1n);
  t.ok(tree.lookup('vm/a/mine') > 0);
  t.throws(() => tree.offline('vm/unattributed'), { code: 'EBUSY' });
});

t.test('what is no path of a memcg has none, and nothing of it is left', async (t) => {
  const { cgroups, names, rowOf } = guest();
  for (const path of ['a', '', '/a/../b', '/a//b', '/a/memory.stat', `/${'x'.repeat(256)}`, `/d${'/d'.repeat(80)}`]) {
    t.equal(cgroups.name(9n, path), false, path);
  }
  t.strictSame(names('vm'), ['set', 'unattributed']);
  t.ok(cgroups.name(9n, '/ok'));
  t.equal(cgroups.name(9n, '/a/..'), false, 'it is not what it was any more either');
  t.equal(rowOf(9n), 'vm/unattributed');
});

t.test('a guest may have so many cgroups, and those that are gone make room', async (t) => {
  const { cgroups } = guest();
  let named = 0;
  for (let i = 1; i <= CGROUPS_MAX + 10; i++) if (cgroups.name(BigInt(i), `/c${i}`)) named++;
  t.equal(named, CGROUPS_MAX);
  t.equal(cgroups.count, CGROUPS_MAX);
  cgroups.gone(1n);
  cgroups.reap();
  t.ok(cgroups.name(99_999n, '/new'));
  t.equal(cgroups.name(100_000n, '/another'), false);
});

t.test('numbers go up past folders that end with their cgroup, to the first memcg that stays', async (t) => {
  const { cgroups, tree, pathOfSlot, owners, names } = guest();
  cgroups.name(1n, '/a/b/c/d');
  setNumber(owners, 0, 5, cgroups.numberOf(1n) ?? NOBODY);
  tree.create('vm/set/mine');
  cgroups.name(2n, '/set/mine/x/y');
  setNumber(owners, 0, 6, cgroups.numberOf(2n) ?? NOBODY);
  cgroups.gone(1n);
  cgroups.gone(2n);
  t.strictSame([pathOfSlot(5), pathOfSlot(6)], ['vm', 'vm/set/mine']);
  t.strictSame(names('vm'), ['set', 'unattributed']);
});

t.test('the work of a name is counted by its folders and by the numbers that it hands over', async (t) => {
  const { cgroups, owners } = guest();
  const deep = '/d'.repeat(60);
  const spent = (act: () => void): number => {
    const before = cgroups.work;
    act();
    return cgroups.work - before;
  };
  t.ok(spent(() => cgroups.name(1n, '/flat')) < 4);
  t.ok(spent(() => cgroups.name(2n, deep)) >= 60);
  for (let i = 0; i < 1600; i++) {
    cgroups.name(3n, `${deep}/c`);
    setNumber(owners, 0, i % 64, cgroups.numberOf(3n) ?? NOBODY);
    cgroups.gone(3n);
  }
  const ended = spent(() => cgroups.gone(2n));
  t.ok(ended >= 60 + 1600 / 16 && ended < 300, `${ended}, each number once`);
});

t.test('a memcg that cgroups of several exports stand for ends with the last of them, whoever made it', async (t) => {
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [1, 0, 2],
  ]) {
    const { cgroups, others, owners, memcgs, tree, names } = guest();
    const all = [cgroups, ...others];
    const paths = ['/deep/x/y', '/deep/x/y', '/x/y'];
    const slots = [3, 4, 5];
    all.forEach((one, x) => {
      t.ok(one.name(1n, paths[x]));
      setNumber(owners, x, slots[x], one.numberOf(1n) ?? NOBODY);
    });
    for (const [i, x] of order.entries()) {
      const after = order.slice(i + 1);
      all[x].gone(1n);
      tree.reap();
      t.equal(pathOf(memcgs, ownerRow(memcgs.owners, x, slots[x])), 'vm/deep', 'its slots are its parent’s');
      for (const other of after) {
        const row = ownerRow(memcgs.owners, other, slots[other]);
        t.strictSame([isOnline(memcgs, row), pathOf(memcgs, row)], [true, 'vm/deep/x/y']);
      }
    }
    t.strictSame(names('vm/deep'), ['unattributed'], 'nothing is left of it');
  }
});

t.test('a folder of one export outlives the cgroup of another that stands for the same memcg', async (t) => {
  const { cgroups, others, memcgs, owners, names } = guest();
  const [beside] = others;
  cgroups.name(1n, '/x');
  beside.name(7n, '/x/below');
  setNumber(owners, 0, 5, cgroups.numberOf(1n) ?? NOBODY);
  cgroups.gone(1n);
  t.equal(pathOf(memcgs, ownerRow(owners, 0, 5)), 'vm', 'its slots are its parent’s');
  t.strictSame(names('vm/x'), ['below']);
  beside.gone(7n);
  t.strictSame(names('vm'), ['set', 'unattributed']);
});

t.test(
  'rows of cgroups that are gone and have pages are the guest’s that made them, and others have theirs',
  async (t) => {
    const { cgroups, others, owners, tree, memcgs } = guest();
    const [beside] = others;
    let made = 0;
    // Each has a page, which names its row for as long as it is stored: here what it is charged stands for that.
    for (let i = 0; i < MEMCGS_MAX; i++) {
      if (!cgroups.name(1n, `/c${i}`)) break;
      const row = rowOfNumber(owners, 0, cgroups.numberOf(1n) ?? NOBODY);
      chargePath(memcgs, THREAD_MAIN, row, 100, 1, false);
      cgroups.gone(1n);
      cgroups.reap();
      made++;
    }
    t.ok(made > MEMCGS_MAX / 2 && made < MEMCGS_MAX, `${made} rows are taken`);
    t.equal(tree.offlineRows, made);
    for (let i = 1; i <= CGROUPS_MAX; i++)
      if (!beside.name(BigInt(i), `/d${i}`)) t.fail(`the other guest has no /d${i}`);
    for (let i = 1; i < 4000; i++) tree.create(`mine${i}`);
    t.equal(cgroups.name(1n, '/another'), false);
    const first = memcgs.state.indexOf(MEMCG.OFFLINE);
    chargePath(memcgs, THREAD_MAIN, first, 100, -1, false);
    for (let i = 0; i * 64 < made; i++) tree.reap();
    t.ok(cgroups.name(1n, '/another'), 'when a page has gone there is a row');
    t.equal(cgroups.name(2n, '/yet-another'), false);
  },
);
