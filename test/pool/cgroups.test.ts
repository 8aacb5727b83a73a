// The cgroups of a guest, as its agent names them: memcgs that come and go, numbers that are given out again, and bounds.
import t from 'tap';
import { Cgroups } from '#src/pool/cgroups.js';
import { THREAD_MAIN } from '#src/pool/limits.js';
import { isOnline, nameOf, pathOf } from '#src/pool/memcg.js';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import { CGROUPS_MAX, NOBODY, ownerRow, rowOfNumber, setNumber } from '#src/pool/owners.js';
import { newZswap } from '../support/pool.ts';

function guest() {
  const z = newZswap({
    exports: [{ name: 'a', pages: 64, memcg: 0, agent: true }],
    memcgs: [
      { name: 'vm', max: Number.POSITIVE_INFINITY, writeback: true },
      { name: 'vm/set', max: 4096, writeback: true },
    ],
  });
  const { memcgs } = z;
  const tree = new MemcgTree(z.shared, THREAD_MAIN);
  const cgroups = new Cgroups(tree, memcgs.owners, 0, 'vm');
  const names = (path: string) => tree.children(tree.lookup(path)).map((m) => nameOf(memcgs, m));
  const rowOf = (id: bigint) => pathOf(memcgs, rowOfNumber(memcgs.owners, 0, cgroups.numberOf(id) ?? NOBODY));
  const pathOfSlot = (slot: number) => pathOf(memcgs, ownerRow(memcgs.owners, 0, slot));
  return { z, memcgs, owners: memcgs.owners, tree, cgroups, names, rowOf, pathOfSlot };
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
