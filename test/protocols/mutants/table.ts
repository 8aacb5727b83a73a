/**
 * Mutants: safe protocols with one line taken out or turned off. Each names the compiled file, what stands there, what stands
 * there instead, and the scenario that must notice. A protocol whose text moved on fails the test that uses this table.
 */
export interface Mutant {
  readonly name: string;
  /** Below dist. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly scenario: string;
  /** As in a replay string. */
  readonly combination: string;
}

const P4 = 'pin-validate+pin-first+skip-eexist+erase';
const P3 = 'refcount-lru-isolate+tree-refcount+skip-eexist+erase';

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'validation: writeback does not compare entry and tree',
    file: 'protocols/pin_validate.js',
    from: 'if (current !== e) {',
    to: 'if (false) {',
    scenario: 'stale-data',
    combination: P4,
  },
  {
    name: 'rotation: a busy victim stays at the head of its list',
    file: 'protocols/pin_validate.js',
    from: 'lru.rotate(list, pool.entries, e);',
    to: '',
    scenario: 'busy-head',
    combination: P4,
  },
  {
    name: 'a put: the reference of writeback is kept',
    file: 'protocols/refcount_lru_isolate.js',
    from: `    if (!earlyRef)
        put(pool, e);
    unlockTree(trees, w.tree);`,
    to: '    unlockTree(trees, w.tree);',
    scenario: 'leak',
    combination: P3,
  },
  {
    name: 'an unlock: the page of a finished writeback stays locked',
    file: 'protocols/pin_validate.js',
    from: 'pool.slots.unpin(r);',
    to: '',
    scenario: 'leak',
    combination: P4,
  },
  {
    name: 'LRU last: a stored entry is put on no list',
    file: 'protocols/pin_validate.js',
    from: 'lru.add(pool.lru, entries, e);',
    to: ';',
    scenario: 'stale-data',
    combination: P4,
  },
  {
    name: 'the re-send fence: a range of an ended connection goes on',
    file: 'zswap/range_op.js',
    from: 'if (!this.fenced())',
    to: 'if (true)',
    scenario: 'resend-trim',
    combination: P4,
  },
];
