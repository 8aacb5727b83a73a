/** Mutants of a change of owner: what a report of an agent must not do, and when. */
import type { Mutant } from './mutant.ts';

const P1 = 'refcount-2013+free-immediately+skip-eexist+erase+leakFix+validate';
const P3 = 'refcount-lru-isolate+tree-refcount+skip-eexist+erase';
const P4 = 'pin-validate+pin-first+skip-eexist+erase';

/** The three parts of give(), as they are compiled. */
const CHARGE = `chargePath(memcgs, thread, to, bytes, 1, raw, above);
`;
const MOVE = `    const m = lockList(lru, from);
    const isolated = t.prev[e] === ISOLATED;
    if (!isolated) {
        unlink(lru, t, m, e);
        lru.count[m]--;
    }
    lru.charged[m] -= bytes;
    revive(lru, t, m, e);
    t.memcg[e] = to;
    sync.unlock(lru.lock, m);
    const heir = lockList(lru, to);
    lru.charged[heir] += bytes;
    if (!isolated) {
        linkTail(lru, t, heir, e);
        lru.count[heir]++;
    }
    sync.unlock(lru.lock, heir);
`;
const UNCHARGE = `    chargePath(memcgs, thread, from, bytes, -1, raw, above);
`;

export const OWNER_MUTANTS: readonly Mutant[] = [
  {
    name: 'owner: the lock of the tree is dropped before the page is given away',
    file: 'zswap/owner.js',
    from: `    if (moves)
        give(lru, entries, e, row);
    else if`,
    to: `    if (moves) {
        unlockTree(trees, tree);
        give(lru, entries, e, row);
        lockTree(trees, tree);
    }
    else if`,
    scenario: 'owner-writeback',
    combination: P1,
  },
  {
    name: 'owner: one that is off its list is put on the list of its new owner',
    file: 'pool/lru.js',
    from: `        lru.count[m]--;
    }
    lru.charged[m] -= bytes;
    revive(lru, t, m, e);
    t.memcg[e] = to;`,
    to: `        lru.count[m]--;
    }
    else
        t.prev[e] = t.next[e] = NONE;
    lru.charged[m] -= bytes;
    revive(lru, t, m, e);
    t.memcg[e] = to;`,
    scenario: 'owner-putback',
    combination: P3,
  },
  {
    name: 'owner: a page comes to the list of a memcg that has gone offline',
    file: 'pool/lru.js',
    from: 'const heir = lockList(lru, to);',
    to: 'const heir = to;\n    sync.lock(lru.lock, to);',
    scenario: 'owner-gone',
    combination: P4,
  },
  {
    name: 'owner: the one who had the page is uncharged before it has left the list',
    file: 'pool/lru.js',
    from: `${CHARGE}${MOVE}${UNCHARGE}`,
    to: `${CHARGE}${UNCHARGE}${MOVE}`,
    scenario: 'owner-leaves',
    combination: P4,
  },
  {
    name: 'owner: what is above both is charged twice',
    file: 'pool/lru.js',
    from: 'chargePath(memcgs, thread, to, bytes, 1, raw, above);',
    to: 'chargePath(memcgs, thread, to, bytes, 1, raw);',
    scenario: 'owner-trim',
    combination: P4,
  },
  {
    name: 'owner: a report is taken for one of whatever is stored',
    file: 'zswap/owner.js',
    from: 'entries.stamp[e] >= since &&',
    to: '',
    scenario: 'owner-older',
    combination: P4,
  },
  {
    name: 'owner: a report is not for what was stored after it',
    file: 'zswap/owner.js',
    from: 'entries.stamp[e] >= since &&',
    to: 'since === Number.NEGATIVE_INFINITY &&',
    scenario: 'owner-late',
    combination: P4,
  },
  {
    name: 'owner: the slot has no owner for the next store',
    file: 'zswap/owner.js',
    from: 'setNumber(memcgs.owners, x, slot, n);',
    to: '',
    scenario: 'owner-late',
    combination: P4,
  },
  {
    name: 'owner: the row of a cgroup that is gone goes offline before its number is the parent’s',
    file: 'pool/cgroups.js',
    from: `    for (const n of numbers)
        if (rowOfNumber(owners, x, n) === row)
            setRow(owners, x, n, above);
    tree.release(row);`,
    to: `    tree.release(row);
    for (const n of numbers)
        if (rowOfNumber(owners, x, n) === row)
            setRow(owners, x, n, above);`,
    scenario: 'owner-gone-store',
    combination: P4,
  },
  {
    name: 'owner: what a move takes above a limit stays there',
    file: 'zswap/reports.js',
    from: 'this.moved(rowOfNumber(this.zswap.memcgs.owners, x, batch.numbers[record]));',
    to: '',
    scenario: 'owner-limit',
    combination: P4,
  },
  {
    name: 'dead: a page is dropped that was written after its slot had been freed',
    file: 'zswap/owner.js',
    from: ' && entries.stamp[e] < until',
    to: '',
    scenario: 'dead-drop',
    combination: P4,
  },
  {
    name: 'dead: the pin is dropped before the page is',
    file: 'zswap/reports.js',
    from: 'const dead = use(slot) === REPORTED.DEAD;',
    to: `const dead = use(slot) === REPORTED.DEAD;
        slots.unpin(r);
        const again = slots.pin(x, slot);
        if (again <= 0)
            return false;`,
    scenario: 'dead-drop',
    combination: P4,
  },
  {
    name: 'dead: a page that is given to somebody counts as dead',
    file: 'pool/lru.js',
    from: `revive(lru, t, m, e);
    t.memcg[e] = to;`,
    to: 't.memcg[e] = to;',
    scenario: 'dead-again',
    combination: P4,
  },
  {
    name: 'dead: of a list that goes to the parent the dead stay behind',
    file: 'pool/lru.js',
    from: 'lru.dead[heir] += lru.dead[m];',
    to: '',
    scenario: 'dead-gone',
    combination: P4,
  },
  {
    name: 'dead: a page that is freed stays counted',
    file: 'pool/lru.js',
    from: `revive(lru, t, m, e);
        charge(lru, t, e, -1);`,
    to: 'charge(lru, t, e, -1);',
    scenario: 'dead-writeback',
    combination: P4,
  },
];
