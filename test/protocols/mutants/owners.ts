/** Mutants of a change of owner: what a report of an agent must not do, and when. */
import type { Mutant } from './mutant.ts';

const P1 = 'refcount-2013+free-immediately+skip-eexist+erase+leakFix+validate';
const P3 = 'refcount-lru-isolate+tree-refcount+skip-eexist+erase';
const P4 = 'pin-validate+pin-first+skip-eexist+erase';

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
    name: 'owner: a number goes on to stand for a row that has gone',
    file: 'pool/guest_numbers.js',
    from: `    for (const n of numbers)
        if (rowOfNumber(owners, x, n) === row)
            setRow(owners, x, n, above);
`,
    to: '',
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
    name: 'dead: the claim is given back before the page is dropped',
    file: 'zswap/dead_drop.js',
    from: '// As in RangeOp: each notes its debt before its bit goes.',
    to: 'this.giveUp();',
    scenario: 'dead-drop',
    combination: P4,
  },
  {
    name: 'dead: a drop does not wait for the pins that were there',
    file: 'zswap/dead_drop.js',
    from: 'if (zswap.slots.isPinned(x, this.unpinned))',
    to: 'if (false)',
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
  {
    name: 'dead: what is stored later comes behind those that go last',
    file: 'pool/list_links.js',
    from: 'const after = goesLast ? NONE : lru.firstDead[m];',
    to: 'const after = NONE;',
    scenario: 'dead-last',
    combination: P4,
  },
];
