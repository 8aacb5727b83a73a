/** Mutants of what requests of other shapes, an image that fails, and a pool that has run out of something ask for. */
import type { Mutant } from './mutant.ts';

const P4 = 'pin-validate+pin-first+skip-eexist+erase';

const FLUSHED: readonly Mutant[] = [
  {
    name: 'a TRIM that passed by what a swapoff has emptied is answered well',
    file: 'zswap/range_op.js',
    from: 'this.done(zswap.isSwappedOff(x) ? NBD_ESHUTDOWN : 0);',
    to: 'this.done(0);',
    scenario: 'swapoff-trim-flush',
    combination: P4,
  },
  {
    name: 'a slot is unused before it is noted that its image has old bytes',
    file: 'zswap/zswap.js',
    from: `this.noteDirty(x, slot);
        clearBit(this.shared.users, x, slot);`,
    to: `clearBit(this.shared.users, x, slot);
        this.noteDirty(x, slot);`,
    scenario: 'trims-flush',
    combination: P4,
  },
];

const IMAGE: readonly Mutant[] = [
  {
    name: 'image faults: a slot whose punch failed is not lost',
    file: 'zswap/range_op.js',
    from: 'zswap.lose(x, slot);',
    to: 'setBit(zswap.shared.users, x, slot);',
    scenario: 'punch-error',
    combination: P4,
  },
  {
    name: 'image faults: a FLUSH is answered well after a sync that failed',
    file: 'zswap/cleaner.js',
    from: `            if (this.errno === 0)
                this.errno = errno;
            this.done(`,
    to: '            this.done(',
    scenario: 'sync-error',
    combination: P4,
  },
  {
    name: 'image faults: a round of FLUSH that failed puts no debt back',
    file: 'zswap/flusher.js',
    from: 'setDirty(this.dirty, this.x, slot);',
    to: ';',
    scenario: 'flush-again',
    combination: P4,
  },
  {
    name: 'image faults: a part is merged into what a failed read has left',
    file: 'zswap/volume.js',
    from: 'errno !== 0 || !zswap.agrees(x, slot, requestBuffers.memory',
    to: '!zswap.agrees(x, slot, requestBuffers.memory',
    scenario: 'part-read-error',
    combination: P4,
  },
  {
    name: 'image faults: a READ is answered with what a failed read has left',
    file: 'zswap/read_op.js',
    from: 'if (errno !== 0 || !agrees)',
    to: 'if (!agrees)',
    scenario: 'read-error',
    combination: P4,
  },
  {
    name: 'image faults: of a run that failed only the first page is written again',
    file: 'image/image_queue.js',
    from: `                for (const op of run)
                    this.runs.push([op]);`,
    to: '                for (const op of run)\n                    this.finish(op, op === first ? errno : 0);',
    scenario: 'run-error',
    combination: P4,
  },
  {
    name: 'image faults: a rejected store that failed drops the old page',
    file: 'zswap/store_op.js',
    from: 'if (errno === 0) {\n            zswap.dropOld',
    to: 'if (true) {\n            zswap.dropOld',
    scenario: 'second-write-error',
    combination: P4,
  },
  {
    name: 'a debt is noted by whoever has dropped the pin',
    file: 'zswap/store_op.js',
    from: 'zswap.unpin(this.r);',
    to: 'zswap.unpin(this.r);\n        zswap.noteDirty(this.x, this.slot);',
    scenario: 'rejected-torn',
    combination: P4,
  },
];

const REQUESTS: readonly Mutant[] = [
  {
    name: 'requests: a part is merged with zeros',
    file: 'zswap/volume.js',
    from: 'if (testBit(this.zswap.shared.users, this.x, slot))',
    to: 'if (false)',
    scenario: 'part',
    combination: P4,
  },
  {
    name: 'requests: a slot is not pinned while the base of its part is read',
    file: 'zswap/volume.js',
    from: `        lane.readImage(x, slot, 1, requestBuffers.memory, buffer * PAGE_SIZE, (errno) => {
`,
    to: `        zswap.unpin(r);
        lane.readImage(x, slot, 1, requestBuffers.memory, buffer * PAGE_SIZE, (errno) => {
            r = zswap.pin(x, slot);
`,
    scenario: 'part-store',
    combination: P4,
  },
  {
    name: 'requests: WRITE_ZEROES does not wait for pins',
    file: 'zswap/range_op.js',
    from: 'if (zswap.slots.isPinned(x, this.unpinned)) {',
    to: 'if (false) {',
    scenario: 'zero',
    combination: P4,
  },
  {
    name: 'requests: the edge of WRITE_ZEROES is not tried again',
    file: 'zswap/volume.js',
    from: 'resume: () => this.lane.loop.soon(attempt),',
    to: 'resume: () => undefined,',
    scenario: 'zero-edge',
    combination: P4,
  },
  {
    name: 'requests: a READ of several slots takes from the image what the pool has',
    file: 'zswap/read_op.js',
    from: 'if (!used || zswap.fetch(other, x, next, this.dst, at + records.length * PAGE_SIZE) !== ON_IMAGE) {',
    to: 'if (!used) {',
    scenario: 'slots-store',
    combination: P4,
  },
  {
    name: 'requests: a WRITE asks for the end of its connection before its pin, and not after',
    file: 'zswap/volume.js',
    from: `        const r = this.waits.pin(request, slot);
        if (r <= 0)
            return WAIT;
        if (request.fenced())
            return this.refusePinned(r);
        return this.storePinned`,
    to: `        const fenced = request.fenced();
        const r = this.waits.pin(request, slot);
        if (r <= 0)
            return WAIT;
        if (fenced)
            return this.refusePinned(r);
        return this.storePinned`,
    scenario: 'cut-write',
    combination: P4,
  },
  {
    name: 'requests: a WRITE that is given up keeps the pin that it waited for',
    file: 'zswap/pin_waits.js',
    from: `        if (this.record !== 0)
            zswap`,
    to: `        if (this.record !== 0)
            0 && zswap`,
    scenario: 'resend-write',
    combination: P4,
  },
  {
    name: 'requests: a TRIM does not ask for the end of its connection',
    file: 'zswap/range_op.js',
    from: 'if (!this.fenced())',
    to: 'if (true)',
    scenario: 'cut-trim',
    combination: P4,
  },
];

const ROOM: readonly Mutant[] = [
  {
    name: 'faults: a slot that its image would not forget is in use before it is lost',
    file: 'zswap/zswap.js',
    from: `        setBit(lost, x, slot);
        setBit(users, x, slot);`,
    to: `        setBit(users, x, slot);
        setBit(lost, x, slot);`,
    scenario: 'swapoff-punch-error',
    combination: P4,
  },
  {
    name: 'room: a store goes on without an entry',
    file: 'zswap/store.js',
    from: `        return rejectEntry(zswap);
    if (zswap.faults?.allocFails(x, slot) === true || !objects.alloc(e, bytes)) {`,
    to: `        rejectEntry(zswap);
    if (zswap.faults?.allocFails(x, slot) === true || !objects.alloc(e, bytes)) {`,
    scenario: 'no-entry',
    combination: P4,
  },
  {
    name: 'room: who found no slot record is not woken when one is free',
    file: 'pool/slots.js',
    from: `        if ((waiters | refused) !== 0)
            wakeMask(this.boxes, waiters | refused);`,
    to: `        if (waiters !== 0)
            wakeMask(this.boxes, waiters);`,
    scenario: 'no-record',
    combination: P4,
  },
  {
    name: 'room: who found no buffer is not woken when one is free',
    file: 'pool/buffers.js',
    from: `    if (waiting !== 0)
        wakeMask(boxes, waiting);`,
    to: '',
    scenario: 'no-request-buffer',
    combination: P4,
  },
  {
    name: 'room: a request that finds no buffer keeps its pin',
    file: 'zswap/volume.js',
    from: `        if (buffer === 0) {
            zswap.unpin(r);
            lane.park(request);`,
    to: `        if (buffer === 0) {
            lane.park(request);`,
    scenario: 'no-request-buffer',
    combination: P4,
  },
  {
    name: 'room: compaction moves what is mapped',
    file: 'pool/allocator/compaction.js',
    from: `    if (sync.cas(z.readers, handle, 0, MOVING) !== 0)
        return false;`,
    to: '    sync.store(z.readers, handle, MOVING);',
    scenario: 'compaction',
    combination: P4,
  },
  {
    name: 'room: an object is read where it was before its reader was counted',
    file: 'pool/allocator/zsmalloc.js',
    from: `            if (seen === MOVING)
                sync.retry(readers, handle, MOVING);
            else if (sync.cas(readers, handle, seen, seen + 1) === seen)`,
    to: '            if (sync.cas(readers, handle, seen, seen + 1) === seen)',
    scenario: 'compaction',
    combination: P4,
  },
];

const EXPORTS: readonly Mutant[] = [
  {
    name: 'exports: pages of all of them go to the image of the first',
    file: 'zswap/zswap.js',
    from: 'this.queueWrite(t.volume[r], ',
    to: 'this.queueWrite(0, ',
    scenario: 'memcgs',
    combination: P4,
  },
  {
    name: 'exports: every page is charged to the first memcg',
    file: 'zswap/store.js',
    from: 'entries.memcg[e] = m;',
    to: 'entries.memcg[e] = 1;',
    scenario: 'memcgs',
    combination: P4,
  },
  {
    name: 'exports: swapoff frees the trees of those after it',
    file: 'protocols/swapoff/free_trees.js',
    from: 'tree < base[x + 1]',
    to: 'tree < base[base.length - 1]',
    scenario: 'exports-swapoff',
    combination: P4,
  },
  {
    name: 'exports: writeback asks its entry for the export after the LRU lock is dropped',
    file: 'protocols/entry/pin_validate.js',
    from: 'const result = writeback(pool, x, slot, e, busy);',
    to: 'const result = writeback(pool, pool.entries.volume[e], slot, e, busy);',
    scenario: 'exports-entry',
    combination: P4,
  },
];

export const REQUEST_MUTANTS: readonly Mutant[] = [...FLUSHED, ...IMAGE, ...REQUESTS, ...ROOM, ...EXPORTS];
