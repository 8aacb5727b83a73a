/**
 * Mutants: safe protocols with one line taken out or turned off. Each names the compiled file, what stands there, what stands
 * there instead, and the scenario that must notice. A protocol whose text moved on fails the test that uses this table.
 */

import { DEMAND_MUTANTS } from './demand.ts';
import { MEMCG_MUTANTS } from './memcgs.ts';
import type { Mutant } from './mutant.ts';
import { OWNER_MUTANTS } from './owners.ts';
import { PAGE_MUTANTS } from './pages.ts';
import { REQUEST_MUTANTS } from './requests.ts';
import { RULE_MUTANTS } from './rules.ts';
import { SUM_MUTANTS } from './sums.ts';

const P4 = 'pin-validate+pin-first+skip-eexist+erase';
const LOCKLESS = 'pin-validate+pin-first+skip-eexist+load-reload';
const P3 = 'refcount-lru-isolate+tree-refcount+skip-eexist+erase';
const EARLY = 'refcount-lru-isolate+drain-early-ref+skip-eexist+erase';

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'validation: writeback does not compare entry and tree',
    file: 'protocols/entry/pin_validate.js',
    from: 'if (current !== e) {',
    to: 'if (false) {',
    scenario: 'stale-data',
    combination: P4,
  },
  {
    name: 'rotation: a busy victim stays at the head of its list',
    file: 'protocols/entry/pin_validate.js',
    from: 'lru.rotate(list, pool.entries, m, e);',
    to: '',
    scenario: 'busy-head',
    combination: P4,
  },
  {
    name: 'a put: the reference of writeback is kept',
    file: 'protocols/entry/refcount_lru_isolate_writeback.js',
    from: `    put(pool, e);
    unlockTree(trees, walk.tree);`,
    to: '    unlockTree(trees, walk.tree);',
    scenario: 'leak',
    combination: P3,
  },
  {
    name: 'an unlock: the page of a finished writeback stays locked',
    file: 'protocols/entry/pin_validate.js',
    from: 'pool.slots.unpin(r);',
    to: '',
    scenario: 'leak',
    combination: P4,
  },
  {
    name: 'LRU last: a stored entry is put on no list',
    file: 'protocols/entry/pin_validate.js',
    from: 'lru.add(pool.lru, entries, e);',
    to: ';',
    scenario: 'stale-data',
    combination: P4,
  },
  {
    name: 'the re-send fence: a range of an ended connection goes on',
    file: 'zswap/range_op.js',
    from: 'this.fenced = fenced;',
    to: 'this.fenced = () => false;',
    scenario: 'late-trim',
    combination: P4,
  },
  {
    name: 'the fence after the wait for the shrinker: a write of an ended connection is stored',
    file: 'zswap/store_op.js',
    from: 'const fenced = this.request.fenced();',
    to: 'const fenced = false;',
    scenario: 'resend-limit',
    combination: P4,
  },
  {
    name: 'swapoff: a write does not ask whether its export is swapped off',
    file: 'zswap/volume.js',
    from: 'if (zswap.isSwappedOff(this.x))',
    to: 'if (false)',
    scenario: 'swapoff-write',
    combination: P4,
  },
  {
    name: 'swapoff: writeback does not ask whether the export still has trees',
    file: 'zswap/zswap.js',
    from: 'if (r <= 0 || mayWriteBack(this.shared.states, x))',
    to: 'if (true)',
    scenario: 'swapoff-slot-0',
    combination: P4,
  },
  {
    name: 'swapoff --keep: writeback does not ask whether the export still has trees',
    file: 'zswap/zswap.js',
    from: 'if (r <= 0 || mayWriteBack(this.shared.states, x))',
    to: 'if (true)',
    scenario: 'swapoff-keep',
    combination: P4,
  },
  {
    name: 'swapoff: writeback asks before its pin',
    file: 'zswap/zswap.js',
    from: `        const r = this.slots.pinForWriteback(x, slot);
        if (underDeviceLock)
            sync.unlock(this.shared.deviceLock, x);`,
    to: `        const served = mayWriteBack(this.shared.states, x);
        const r = this.slots.pinForWriteback(x, slot);
        if (served)
            return r;`,
    scenario: 'swapoff-slot-0',
    combination: P4,
  },
  {
    name: 'swapoff: a cleaning does not ask whether the export still has trees',
    file: 'zswap/cleaner.js',
    from: 'if (!zswap.hasTrees(x))',
    to: 'if (false)',
    scenario: 'swapoff-flush',
    combination: P4,
  },
  {
    name: 'swapoff: a cleaning takes it that the image has what was discarded, and is punched later',
    file: 'zswap/cleaner.js',
    from: '&& runsVerb(shared.states, x)',
    to: '&& false',
    scenario: 'swapoff-flush-older',
    combination: P4,
  },
  {
    name: 'swapoff: a cleaning does not ask again whether its slot was lost meanwhile',
    file: 'zswap/cleaner.js',
    from: 'if (found !== LOAD_MISS || testBit(shared.lost, x, slot))',
    to: 'if (found !== LOAD_MISS)',
    scenario: 'punch-error-flush',
    combination: P4,
  },
  {
    name: 'pin, then claim: claims are looked at before the pin is set',
    file: 'pool/slots.js',
    from: `        t.locked[r] = me;
        sync.unlock(t.buckets, b);
        if (claimed(this.claims, x, slot, waiter, place)) {`,
    to: `        sync.unlock(t.buckets, b);
        const isClaimed = claimed(this.claims, x, slot, waiter, place);
        sync.lock(t.buckets, b);
        t.locked[r] = me;
        sync.unlock(t.buckets, b);
        if (isClaimed) {`,
    scenario: 'read-trim',
    combination: P4,
    bound: 3,
  },
  {
    name: 'reload: a remembered place in the head of the tree counts as current',
    file: 'pool/tree_walk.js',
    from: 'return t.words[tree * STRIDE + HEAD] === place.e;',
    to: 'return true;',
    scenario: 'fast-path-grow',
    combination: LOCKLESS,
  },
  {
    name: 'grace period: a freed node is given out again while a walk may know it',
    file: 'pool/nodes.js',
    from: 'if (!rcu.over(readers, control, NOTED))',
    to: 'if (false)',
    scenario: 'fast-path-reuse',
    combination: LOCKLESS,
  },
  {
    name: 'second chance: an entry that got it is not marked as having had it',
    file: 'protocols/entry/victim.js',
    from: 'entries.referenced[e] = 0;',
    to: '',
    scenario: 'second-chance',
    combination: P4,
  },
  {
    name: 'LRU last: a stored entry is on its list before it is in its tree',
    file: 'protocols/entry/pin_validate.js',
    from: `    const old = exchange(trees, tree, slot, e);
    unlockTree(trees, tree);
    if (old === NO_MEMORY)
        return false;
    if (old !== NONE)
        pool.free(old);
    // Publishing to writeback is last: from here on the entry may be written back and freed by another thread, as soon as
    // our caller drops the pin.
    if (entries.length[e] > 0)
        lru.add(pool.lru, entries, e);
`,
    to: `    unlockTree(trees, tree);
    if (entries.length[e] > 0)
        lru.add(pool.lru, entries, e);
    lockTree(trees, tree);
    const old = exchange(trees, tree, slot, e);
    unlockTree(trees, tree);
    if (old === NO_MEMORY)
        return false;
    if (old !== NONE)
        pool.free(old);
`,
    scenario: 'no-node',
    combination: P4,
  },
  {
    name: 'a failed writeback: its page is dropped',
    file: 'image/image_queue.js',
    from: 'if (errno === 0) {\n            this.retryMs',
    to: 'if (true) {\n            this.retryMs',
    scenario: 'image-error',
    combination: P4,
  },
  {
    name: 'a rejected store: the old entry is erased before the image has the new page',
    file: 'zswap/store_op.js',
    from: 'this.lane.order(ORDER.WRITE,',
    to: `zswap.dropOld(this.r, x, slot);
        this.lane.order(ORDER.WRITE,`,
    scenario: 'rejected-store-error',
    combination: P4,
  },
  {
    name: 'the image queue: batches run side by side',
    file: 'image/image_queue.js',
    from: 'if (this.running.size > 0)',
    to: 'if (false)',
    scenario: 'image-order',
    combination: P4,
  },
  {
    name: 'a lock: writeback takes its entry out of the tree without it',
    file: 'protocols/entry/pin_validate.js',
    from: `    lockTree(trees, tree);
    erase(trees, tree, slot);
    unlockTree(trees, tree);`,
    to: '    erase(trees, tree, slot);',
    scenario: 'leak',
    combination: P4,
  },
  {
    name: 'an opaque number: writeback asks its entry for the slot after the LRU lock is dropped',
    file: 'protocols/entry/pin_validate.js',
    from: 'const result = writeback(pool, x, slot, e, busy);',
    to: 'const result = writeback(pool, x, pool.entries.slot[e], e, busy);',
    scenario: 'leak',
    combination: P4,
  },
  {
    name: 'atomic counts: early references are counted plainly',
    file: 'protocols/swapoff/drain_early_ref.js',
    from: 'return sync.add(entries.state, e, by) + by;',
    to: 'const refs = sync.load(entries.state, e) + by;\n    sync.store(entries.state, e, refs);\n    return refs;',
    scenario: 'leak',
    combination: EARLY,
  },
  {
    name: 'the last put: it comes before the tree is unlocked',
    file: 'protocols/entry/refcount_lru_isolate_writeback.js',
    from: `    unlockTree(trees, walk.tree);
    pool.protocols.swapoff.release(pool, walk.tree, e);`,
    to: `    pool.protocols.swapoff.release(pool, walk.tree, e);
    unlockTree(trees, walk.tree);`,
    scenario: 'swapoff',
    combination: EARLY,
  },
  {
    name: 'the erase of a TRIM: the entry stays stored',
    file: 'zswap/zswap.js',
    from: 'this.erase(x, slot);',
    to: '',
    scenario: 'leak',
    combination: P4,
  },
  ...RULE_MUTANTS,
  ...MEMCG_MUTANTS,
  ...DEMAND_MUTANTS,
  ...OWNER_MUTANTS,
  ...REQUEST_MUTANTS,
  ...PAGE_MUTANTS,
  ...SUM_MUTANTS,
];
