/** Mutants of what no protocol decides: who may store at a limit, what a FLUSH answers for, what a torn write leaves. */
import type { Mutant } from './mutant.ts';

const P4 = 'pin-validate+pin-first+skip-eexist+erase';

export const RULE_MUTANTS: readonly Mutant[] = [
  {
    name: 'swapoff: a slice is discarded without a look for its pins',
    file: 'zswap/swapoff_op.js',
    from: 'if (!claimed || this.anyPinned(end)) {',
    to: 'if (!claimed) {',
    scenario: 'swapoff',
    combination: P4,
  },
  {
    name: 'swapoff: pins of a slice are looked for before it is claimed',
    file: 'zswap/swapoff_op.js',
    from: `        const claimed = stands(this.claim) || claim(claims, x, cursor, end, zswap.thread, this.claim);
        if (!claimed || this.anyPinned(end)) {`,
    to: `        const pinned = this.anyPinned(end);
        const claimed = stands(this.claim) || claim(claims, x, cursor, end, zswap.thread, this.claim);
        if (!claimed || pinned) {`,
    scenario: 'swapoff',
    combination: P4,
  },
  {
    name: 'a READ asks whether its slot is in use before it pins it, and not after',
    file: 'zswap/read_op.js',
    from: 'if (!testBit(zswap.shared.users, x, slot)) {\n                zswap.unpin(r);',
    to: 'if (false) {\n                zswap.unpin(r);',
    scenario: 'swapoff-read',
    combination: P4,
  },
  {
    name: 'admission: a store that was let in does not count before it is charged',
    file: 'zswap/admission.js',
    from: 'others * PAGE_SIZE',
    to: '0',
    scenario: 'limit-two-stores',
    combination: P4,
  },
  {
    name: 'admission: what was let in stays taken',
    file: 'zswap/store_op.js',
    from: 'settle(zswap, this.m);',
    to: ';',
    scenario: 'limit-two-stores',
    combination: P4,
  },
  {
    name: 'a debt is taken away with the page: a FLUSH skips what is on its way to the image',
    file: 'zswap/cleaner.js',
    from: 'into.set(zswap.page(page));\n            return zswap.isStored(x, slot, into, 0) ? LOAD_OK : LOAD_EIO;',
    to: 'return LOAD_MISS;',
    scenario: 'flush-writeback',
    combination: P4,
  },
  {
    name: 'a debt is taken after its slot was looked at, and a WRITE in between is forgotten',
    file: 'zswap/flusher.js',
    from: 'this.clean(round.slots, (errno) => this.ended(round, errno));',
    to: 'this.clean(round.slots, (errno) => { takeDirty(this.dirty, this.x, 0, 8); this.ended(round, errno); });',
    scenario: 'flush-twice',
    combination: P4,
  },
  {
    name: 'a store sets no debt',
    file: 'zswap/store.js',
    from: 'zswap.noteDirty(x, slot);',
    to: '',
    scenario: 'flush-twice',
    combination: P4,
  },
  {
    name: 'a page whose image write ended is forgotten when a newer write tears it',
    file: 'image/image_queue.js',
    from: 'this.writeOldAgain(op.slot);',
    to: ';',
    scenario: 'rejected-torn',
    combination: P4,
  },
  {
    name: 'a drain that forgets what is on its way to the image',
    file: 'zswap/held_slots.js',
    from: 'this.queue.eachWriteback((slot) => pages.add(slot));',
    to: '',
    scenario: 'drain-errors',
    combination: P4,
  },
  {
    name: 'a parked page is written over a newer one that was flushed',
    file: 'image/image_queue.js',
    from: "if (op.kind === 'writeback' && !this.host.slots.pageIs(this.x, op.slot, op.buffer)) {",
    to: 'if (false) {',
    scenario: 'flush-parked',
    combination: P4,
  },
];
