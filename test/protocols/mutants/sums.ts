/** Mutants of checksums and of the scrub: who calls a page wrong must know that it is, and has its pin. */
import type { Mutant } from './mutant.ts';

const P4 = 'pin-validate+pin-first+skip-eexist+erase';
const P3 = 'refcount-lru-isolate+tree-refcount+skip-eexist+erase';

const SUMS: readonly Mutant[] = [
  {
    name: 'checksums: that of a page is noted before its pin is taken',
    file: 'zswap/volume.js',
    from: 'write(request, slot, src, at) {',
    to: `write(request, slot, src, at) {
        this.zswap.sums.note(this.x, slot, this.zswap.codec.sumOf(src.subarray(at, at + PAGE_SIZE)));`,
    scenario: 'sums-writeback',
    combination: P4,
  },
  {
    name: 'checksums: that of a rejected page is noted after its pin is dropped',
    file: 'zswap/store_op.js',
    from: `            zswap.sums.note(x, slot, zswap.codec.sumOf(buffers.pageOf(zswap.shared.requestBuffers, this.buffer)));
        }`,
    to: `            const sum = zswap.codec.sumOf(buffers.pageOf(zswap.shared.requestBuffers, this.buffer));
            this.finish(errno);
            zswap.sums.note(x, slot, sum);
            return;
        }`,
    scenario: 'sums-rejected',
    combination: P4,
  },
  {
    name: 'checksums: that of a rejected page is noted before the image has it',
    file: 'zswap/store_op.js',
    from: 'this.lane.order(ORDER.WRITE,',
    to: `zswap.sums.note(x, slot, zswap.codec.sumOf(buffers.pageOf(zswap.shared.requestBuffers, this.buffer)));
        this.lane.order(ORDER.WRITE,`,
    scenario: 'sums-torn',
    combination: P4,
  },
  {
    name: 'checksums: a store notes none',
    file: 'zswap/store.js',
    from: 'zswap.sums.note(x, slot, zswap.codec.sum);',
    to: 'void 0;',
    scenario: 'sums-writeback',
    combination: P4,
  },
  {
    name: 'checksums: that of a trimmed slot is kept',
    file: 'zswap/zswap.js',
    from: 'this.sums.forget(x, slot);',
    to: '',
    scenario: 'sums-image',
    combination: P4,
  },
  {
    name: 'checksums: zeros that keep their room have none',
    file: 'zswap/range_op.js',
    from: 'zswap.sums.note(x, slot, ZEROS);',
    to: '',
    scenario: 'sums-zeroes',
    combination: P4,
  },
  {
    name: 'checksums: a page on its way to the image is compared with that of a newer one',
    file: 'image/image_queue.js',
    from: `pageOf(op) {
        const { shared } = this.host;`,
    to: `pageOf(op) {
        const { shared } = this.host;
        if (op.kind === 'writeback')
            this.host.isStored(this.x, op.slot, buffers.pageOf(shared.writebackBuffers, op.buffer), 0);`,
    scenario: 'sums-writeback',
    combination: P4,
  },
  {
    name: 'checksums: a page of the image is compared after its pin is dropped',
    file: 'zswap/read_op.js',
    from: `            const slot = this.first + this.done;
            if (errno !== 0)`,
    to: `            const slot = this.first + this.done;
            this.zswap.slots.unpin(r);
            if (errno !== 0)`,
    scenario: 'sums-zeroes',
    combination: P4,
  },
  {
    name: 'checksums: a page of the image is not compared',
    file: 'zswap/zswap.js',
    from: `if (this.sums.agrees(x, slot, dst, at))
            return true;`,
    to: 'return true;',
    scenario: 'sums-lie',
    combination: P4,
  },
];

const SCRUB: readonly Mutant[] = [
  {
    name: 'the scrub: a page is called wrong that was read without its pin',
    file: 'zswap/scrub.js',
    from: 'if (zswap.sums.agrees(x, slot, this.page, 0))',
    to: 'if (zswap.agrees(x, slot, this.page, 0))',
    scenario: 'scrub-store',
    combination: P4,
  },
  {
    name: 'the scrub: what was read without the pin is compared once there is one',
    file: 'zswap/scrub.js',
    from: `this.readImage(x, slot, compare, () => this.unpin(r));`,
    to: `compare();
        this.unpin(r);`,
    scenario: 'scrub-rejected',
    combination: P4,
  },
  {
    name: 'the scrub: the pin is dropped before the page is compared',
    file: 'zswap/scrub.js',
    from: `this.readImage(x, slot, compare, () => this.unpin(r));`,
    to: `this.unpin(r);
        this.readImage(x, slot, compare);`,
    scenario: 'scrub-rejected',
    combination: P4,
  },
  {
    name: 'the scrub: whether the export is swapped off is not asked, neither before the pin nor under it',
    file: 'zswap/scrub.js',
    from: 'this.zswap = zswap;',
    to: 'this.zswap = Object.create(zswap, { shared: { value: { ...zswap.shared, states: new Int32Array(1) } } });',
    scenario: 'scrub-swapoff',
    combination: P4,
  },
  {
    name: 'the scrub: a page on its way to the image is not looked for',
    file: 'zswap/scrub.js',
    from: 'const buffer = zswap.slots.t.page[r];',
    to: 'const buffer = 0;',
    scenario: 'scrub-parked',
    combination: P4,
  },
  {
    name: 'the scrub: an entry that the pin does not keep is compared without the lock of its tree',
    file: 'zswap/scrub.js',
    from: 'const isKept = protocols.entry.pinKeepsEntry === true;',
    to: 'const isKept = true;',
    scenario: 'scrub-writeback',
    combination: P3,
  },
];

const VOUCHED: readonly Mutant[] = [
  {
    name: 'vouching: a page that is lost makes nobody doubt',
    file: 'zswap/zswap.js',
    from: 'doubt(this.shared, x);',
    to: '',
    scenario: 'vouch-read',
    combination: P4,
  },
  {
    name: 'vouching: a FLUSH is answered before the marker is changed',
    file: 'zswap/vouch.js',
    from: 'return sync.load(shared.vouch, x) === VOUCH.DOUBTED;',
    to: 'return false;',
    scenario: 'vouch-scrub',
    combination: P4,
  },
];

export const SUM_MUTANTS: readonly Mutant[] = [...SUMS, ...SCRUB, ...VOUCHED];
