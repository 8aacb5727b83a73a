/** Mutants of reclaim by pages of the allocator: what keeps it apart from who frees and who stores, line by line. */
import type { Mutant } from './mutant.ts';

const PAGES = 'refcount-2013+free-immediately+skip-eexist+erase+leakFix+validate+lru=allocator';

export const PAGE_MUTANTS: readonly Mutant[] = [
  {
    name: 'pages: the last free in a page of zbud takes it away while it is being reclaimed',
    file: 'pool/allocator/zbud.js',
    from: `        if (this.pages !== null && b.claimed[page] === 1)
            return;`,
    to: '',
    scenario: 'reclaim-free',
    combination: PAGES,
  },
  {
    name: 'pages: a page of zbud that is being reclaimed stays where stores find it',
    file: 'pool/allocator/zbud.js',
    from: `            unlink(b, page);
            b.claimed[page] = 1;`,
    to: '            b.claimed[page] = 1;',
    scenario: 'reclaim-reuse',
    combination: PAGES,
  },
  {
    name: 'pages: reclaim of z3fold takes no reference to its page',
    file: 'pool/allocator/z3fold.js',
    from: `        if (!early)
            sync.add(b.refs, page, 1);`,
    to: '',
    scenario: 'z3fold-last',
    combination: PAGES,
  },
  {
    name: 'pages: a page of z3fold is claimed without its lock',
    file: 'pool/allocator/z3fold.js',
    from: `        if (!sync.tryLock(b.pageLock, page)) {
            if (early && sync.add(b.refs, page, -1) === 1)
                this.retire(page);
            return false;
        }`,
    to: '',
    scenario: 'z3fold-last',
    combination: PAGES,
  },
  {
    name: 'pages: an object is stored without its label',
    file: 'zswap/store.js',
    from: 'labelObject(objects, e, x, slot);',
    to: '',
    scenario: 'reclaim-ends',
    combination: PAGES,
  },
  {
    name: 'pages: what is evicted is not looked up again under the pin',
    file: 'protocols/entry/refcount_2013_writeback.js',
    from: 'const aborted = on(pool, validate) && !isCurrent(pool, tree, slot, e);',
    to: 'const aborted = false;',
    scenario: 'reclaim-store',
    combination: PAGES,
  },
];
