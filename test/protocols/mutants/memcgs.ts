/** Mutants of the tree of memcgs: whose list a page is on, who may have a row, whose limits a store counts for. */
import type { Mutant } from './mutant.ts';

const P3 = 'refcount-lru-isolate+tree-refcount+skip-eexist+erase';
const P4 = 'pin-validate+pin-first+skip-eexist+erase';

export const MEMCG_MUTANTS: readonly Mutant[] = [
  {
    name: 'memcg: a page is added to the list of a memcg that has gone offline',
    file: 'pool/lru.js',
    from: `if (memcgs.state[row] !== MEMCG.OFFLINE)
            return row;`,
    to: 'return row;',
    scenario: 'offline-store',
    combination: P4,
  },
  {
    name: 'memcg: whether it is offline is asked before its list is locked',
    file: 'pool/lru.js',
    from: `        sync.lock(lock, row);
        if (memcgs.state[row] !== MEMCG.OFFLINE)
            return row;
        sync.unlock(lock, row);`,
    to: `        if (memcgs.state[row] !== MEMCG.OFFLINE) {
            sync.lock(lock, row);
            return row;
        }`,
    scenario: 'offline-store',
    combination: P4,
  },
  {
    name: 'memcg: an isolated page is put back to a memcg that has gone offline',
    file: 'pool/lru.js',
    from: `if (memcgs.state[row] !== MEMCG.OFFLINE)
            return row;`,
    to: 'return row;',
    scenario: 'offline-putback',
    combination: P3,
  },
  {
    name: 'memcg: a list goes to the parent without its lock',
    file: 'pool/lru.js',
    from: `    sync.lock(lru.lock, m);
    sync.lock(lru.lock, heir);`,
    to: '    sync.lock(lru.lock, heir);',
    scenario: 'offline-shrink',
    combination: P4,
  },
  {
    name: "memcg: a list goes to the parent without the lock of the parent's",
    file: 'pool/lru.js',
    from: `    sync.lock(lru.lock, m);
    sync.lock(lru.lock, heir);`,
    to: '    sync.lock(lru.lock, m);',
    scenario: 'offline-shrink',
    combination: P4,
  },
  {
    name: 'memcg: what a list is charged stays where its pages are no more',
    file: 'pool/lru.js',
    from: 'lru.charged[heir] += lru.charged[m];',
    to: '',
    scenario: 'offline-putback',
    combination: P3,
  },
  {
    name: 'memcg: what comes back from the image is counted without the lock of the list',
    file: 'pool/held_back.js',
    from: `const row = lockList(lru, m);
    lru.heldBack[row] += pages;
    sync.unlock(lru.lock, row);`,
    to: 'lru.heldBack[m] += pages;',
    scenario: 'offline-swapin',
    combination: P4,
  },
  {
    name: 'memcg: a row is given to another while a store is under way to it',
    file: 'pool/dying_rows.js',
    from: `if (grace.pins.length > 0)
            return false;`,
    to: '',
    scenario: 'offline-store',
    combination: P4,
  },
  {
    name: 'memcg: a row is given to another while entries name it',
    file: 'pool/dying_rows.js',
    from: ' || currentOf(memcgs, m) !== 0',
    to: '',
    scenario: 'offline-shrink',
    combination: P4,
  },
  {
    name: 'memcg: a store that was let in counts for its own memcg alone',
    file: 'zswap/admission.js',
    from: `for (let row = m; row !== ROOT; row = t.parent[row])
        sync.add(t.reserved, row, stores);`,
    to: 'sync.add(t.reserved, m, stores);',
    scenario: 'memcgs-parent',
    combination: P4,
  },
  {
    name: 'memcg: a page is charged to its own memcg alone',
    file: 'pool/memcg.js',
    from: `row = parent[row];
        cells[at + CELL.PAGES] += sign;`,
    to: `row = above;
        cells[at + CELL.PAGES] += sign;`,
    scenario: 'memcgs-parent',
    combination: P4,
  },
  {
    name: 'memory.reclaim: a round that a list moved past is taken for one that has seen all pages',
    file: 'zswap/proactive.js',
    from: 'const complete = moved === request.moved;',
    to: 'const complete = true;',
    scenario: 'reclaim-offline',
    combination: P4,
  },
  {
    name: 'memory.reclaim: a memcg that goes offline has no homes before its list has gone',
    file: 'pool/memcg_tree.js',
    from: `lru.reparent(this.lists, this.pool.entries, m);
        dropHomes(t, m);`,
    to: `dropHomes(t, m);
        lru.reparent(this.lists, this.pool.entries, m);`,
    scenario: 'reclaim-offline',
    combination: P4,
  },
  {
    name: 'memory.reclaim: a batch that has written nothing counts what the one before had',
    file: 'zswap/reclaim.js',
    from: 'this.writtenBytes = 0;\n        if (!this.canShrink',
    to: 'if (!this.canShrink',
    scenario: 'reclaim-two',
    combination: P4,
  },
];
