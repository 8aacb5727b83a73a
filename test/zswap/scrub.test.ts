// The scrub: what it looks at and when, what it makes of what is wrong, and that nobody else can tell that it was there.
import t from 'tap';
import { setBit, testBit } from '#src/pool/bits.js';
import { takeBuffer } from '#src/pool/buffers.js';
import { busy } from '#src/pool/busy.js';
import { enter, STATE } from '#src/pool/export_state.js';
import { get, treeOf } from '#src/pool/tree.js';
import { USUAL } from '#src/protocols/combinations.js';
import { C, SCRUB, stamp } from '#src/zswap/counters.js';
import { LOAD_FAILED, LOADED } from '#src/zswap/loads.js';
import { held, makePage, put, type TestZswap, take } from '../support/pool.ts';
import { benchOfScrub } from '../support/scrub_bench.ts';

const PAGE = 4096;
/** A page in each tick of a quarter of a second. */
const SLOW = 4 * PAGE;

const FAST = 2 ** 30;

function entryOf(z: TestZswap, slot: number, x = 0): number {
  return get(z.trees, treeOf(z.trees, x, slot), slot);
}

function flip(z: TestZswap, slot: number): void {
  const e = entryOf(z, slot);
  z.objects.segment(e)[z.objects.offset(e) + z.entries.length[e] - 9] ^= 0x10;
}

/** As an image has it: in use, its sum known, and in no pool. */
function onImage(z: TestZswap, slot: number, page: Uint8Array, x = 0): void {
  setBit(z.shared.users, x, slot);
  z.sums.note(x, slot, z.codec.sumOf(page));
}

t.test('pages of all kinds in the pool are compared, at the rate, in order, and from the start again', async (t) => {
  const b = benchOfScrub(t, SLOW);
  const slots = [3, 5, 70_00, 65_535];
  for (const [i, slot] of slots.entries())
    put(b.lane, slot, makePage((['text', 'random', 'same'] as const)[i % 3], slot));
  for (let i = 1; i <= 4; i++) {
    b.ticks(1);
    t.equal(b.count(SCRUB.scrubbed_pages), i);
  }
  t.equal(b.count(SCRUB.scrub_passes), 0);
  b.ticks(2);
  t.equal(b.count(SCRUB.scrub_passes), 1);
  t.equal(b.count(SCRUB.scrubbed_pages), 5);
  t.same([b.count(C.checksum_mismatch), b.reads.length, b.told.length], [0, 0, 0]);
});

t.test('a rate of less than a page in a tick is kept, and a fast one is not made up for after a pause', async (t) => {
  const slow = benchOfScrub(t, PAGE);
  put(slow.lane, 1, makePage('text', 1));
  slow.ticks(3);
  t.equal(slow.count(SCRUB.scrubbed_pages), 0);
  slow.ticks(1);
  t.equal(slow.count(SCRUB.scrubbed_pages), 1);
  const fast = benchOfScrub(t, 16 * SLOW);
  fast.ticks(40);
  for (let slot = 0; slot < 100; slot++) put(fast.lane, slot, makePage('text', slot));
  fast.ticks(1);
  t.equal(fast.count(SCRUB.scrubbed_pages), 16);
});

t.test('nothing that others look at changes by it', async (t) => {
  const b = benchOfScrub(t, FAST);
  for (let slot = 0; slot < 20; slot++) put(b.lane, slot, makePage(slot % 2 === 0 ? 'text' : 'random', slot));
  for (let e = 1; e <= 20; e++) {
    b.z.entries.referenced[e] = 0;
    b.z.entries.accessed[e] = e;
  }
  b.shared.clock[0] = 1000;
  const seen = (): unknown => [
    stamp(b.shared),
    held(b.shared),
    [...b.z.entries.referenced.slice(0, 21)],
    [...b.z.entries.accessed.slice(0, 21)],
  ];
  const before = seen();
  b.ticks(1);
  t.ok(b.count(SCRUB.scrubbed_pages) >= 20);
  t.strictSame(seen(), before);
});

for (const combination of Object.values(USUAL)) {
  t.test(`what is flipped in the pool is found, and told with its age: ${combination.entry}`, async (t) => {
    const b = benchOfScrub(t, FAST, {}, combination);
    for (const [slot, kind] of (['text', 'random', 'text'] as const).entries()) put(b.lane, slot, makePage(kind, slot));
    b.shared.clock[0] += 10;
    flip(b.z, 0);
    flip(b.z, 1);
    b.ticks(1);
    t.equal(b.count(C.checksum_mismatch), 2);
    t.match(
      b.told,
      [0, 1].map((slot) => ({ slot, x: 0, tier: 'pool', age: 2.5, m: 1 })),
    );
    t.same(
      [0, 1, 2].map((slot) => take(b.lane, slot).result === LOADED),
      [false, false, true],
    );
    b.ticks(1);
    t.equal(b.count(C.checksum_mismatch), 2, 'a lost page is not looked at again');
    put(b.lane, 0, makePage('text', 9));
    t.equal(take(b.lane, 0).result, LOADED, 'who writes it has it again');
  });
}

t.test('a READ that meets a wrong page tells the age that it had before', async (t) => {
  const b = benchOfScrub(t, SLOW);
  put(b.lane, 0, makePage('random', 0));
  b.shared.clock[0] += 8;
  flip(b.z, 0);
  t.equal(take(b.z, 0).result, LOAD_FAILED);
  t.match(b.told, [{ slot: 0, tier: 'pool', age: 2 }]);
});

t.test('a page on its way to the image is compared where it is', async (t) => {
  const b = benchOfScrub(t, FAST);
  put(b.lane, 1, makePage('text', 1));
  put(b.lane, 2, makePage('text', 2));
  const buffers: number[] = [];
  b.z.onWrite = (_x, _slot, buffer) => void buffers.push(buffer);
  for (const m of [1, 1]) b.z.protocols.entry.shrinkOne(b.z, m, b.z.protocols.busy);
  b.z.page(buffers[1])[77] ^= 1;
  b.ticks(1);
  t.match(b.told, [{ slot: 2, tier: 'pool', age: /./ }]);
  t.same(
    [1, 2].map((slot) => testBit(b.shared.lost, 0, slot)),
    [false, true],
  );
  t.equal(b.reads.length, 0);
});

t.test('of pages on the image one is read at a time, and nobody waits for its slot', async (t) => {
  const b = benchOfScrub(t, FAST);
  for (const slot of [1, 2, 3]) onImage(b.lane, slot, makePage('text', slot));
  b.ticks(3);
  t.same(
    b.reads.map(({ slot }) => slot),
    [1],
  );
  const r = b.lane.tryPin(0, 1);
  t.ok(r > 0, 'not pinned');
  b.lane.unpin(r);
  for (const slot of [1, 2, 3]) b.reads[slot - 1].end(makePage('text', slot));
  t.same([b.count(C.checksum_mismatch), b.count(SCRUB.scrubbed_pages)], [0, 3]);
});

t.test('one that is not what was noted is read again, pinned until it is compared', async (t) => {
  const b = benchOfScrub(t, FAST);
  for (const slot of [1, 2]) onImage(b.lane, slot, makePage('text', slot));
  b.ticks(1);
  b.reads[0].end(makePage('text', 9));
  t.same(
    b.reads.map(({ slot }) => slot),
    [1, 1],
  );
  t.ok(b.lane.tryPin(0, 1) <= 0, 'pinned');
  t.equal(busy(b.shared).pins, 0, 'and nothing is under way that would spoil a sum');
  t.notOk(testBit(b.shared.lost, 0, 1), 'and not wrong yet');
  b.reads[1].end(makePage('text', 9));
  t.ok(testBit(b.shared.lost, 0, 1));
  t.match(b.told, [{ slot: 1, tier: 'image', age: null }]);
  t.ok(b.lane.tryPin(0, 1) > 0, 'pinned no more');
  b.reads[2].end(makePage('text', 2));
  t.same([b.count(C.checksum_mismatch), b.count(SCRUB.scrubbed_pages)], [1, 2]);
});

t.test('a page that was written, or discarded, while it was read proves nothing', async (t) => {
  const b = benchOfScrub(t, FAST);
  for (const slot of [1, 2, 3, 4]) onImage(b.lane, slot, makePage('text', slot));
  b.ticks(1);
  put(b.lane, 1, makePage('text', 9));
  b.reads[0].end(makePage('text', 1));
  b.lane.sums.forget(0, 2);
  b.reads[1].end(makePage('text', 9));
  const r = b.lane.tryPin(0, 3);
  b.reads[2].end(makePage('text', 9));
  b.lane.unpin(r);
  // It is on the image again, and another one; so the first read was of neither.
  onImage(b.lane, 4, makePage('text', 8));
  b.reads[3].end(makePage('text', 4));
  b.reads[4].end(makePage('text', 8));
  t.same([b.told, b.count(C.checksum_mismatch)], [[], 0]);
});

t.test('an export that began to stop while its page was read is not pinned again', async (t) => {
  const b = benchOfScrub(t, FAST);
  onImage(b.lane, 1, makePage('text', 1));
  b.ticks(1);
  enter(b.shared.states, 0, STATE.STOPPING);
  enter(b.shared.states, 0, STATE.DRAINING);
  b.reads[0].end(makePage('text', 9));
  t.same([b.reads.length, b.count(C.checksum_mismatch)], [1, 0]);
});

t.test('what can not be read is counted apart, and is lost by nobody', async (t) => {
  const b = benchOfScrub(t, FAST);
  onImage(b.lane, 1, makePage('text', 1));
  b.ticks(1);
  b.reads[0].end(makePage('text', 2), 5);
  t.same(b.unreadable, [[0, 5]]);
  t.same([b.count(SCRUB.scrub_read_errors), b.count(C.checksum_mismatch), b.count(SCRUB.scrubbed_pages)], [1, 0, 0]);
  t.notOk(testBit(b.shared.lost, 0, 1));
  t.ok(b.lane.tryPin(0, 1) > 0);
});

t.test('a slot that is pinned, claimed, unknown or lost is passed by, and others are not', async (t) => {
  const b = benchOfScrub(t, FAST);
  for (let slot = 0; slot < 4; slot++) put(b.lane, slot, makePage('text', slot));
  const r = b.lane.tryPin(0, 0);
  b.lane.sums.forget(0, 1);
  b.lane.lose(0, 2);
  setBit(b.shared.users, 0, 5);
  b.ticks(1);
  t.equal(b.count(SCRUB.scrubbed_pages), 1, 'slot 3 alone');
  t.equal(b.reads.length, 0);
  b.lane.unpin(r);
  b.ticks(1);
  t.equal(b.count(SCRUB.scrubbed_pages), 3);
});

t.test('exports have their turn one after the other; one that takes no writes has none', async (t) => {
  const exports = [0, 1, 2].map((x) => ({ name: `${x}`, pages: 4096, memcg: 0 }));
  const b = benchOfScrub(t, SLOW, { exports });
  for (const { slot, x } of [0, 1, 2].flatMap((x) => [1, 4095].map((slot) => ({ slot, x }))))
    put(b.lane, slot, makePage('text', slot), x);
  b.ticks(6);
  t.same([b.count(SCRUB.scrubbed_pages), b.count(SCRUB.scrub_passes)], [6, 0]);
  enter(b.shared.states, 1, STATE.SWAPPING_OFF);
  enter(b.shared.states, 2, STATE.STOPPING);
  enter(b.shared.states, 2, STATE.DRAINING);
  for (const x of [1, 2]) for (const slot of [1, 4095]) b.lane.sums.note(x, slot, 77);
  b.ticks(8);
  t.same([b.count(SCRUB.scrub_passes), b.count(C.checksum_mismatch)], [3, 0]);
  enter(b.shared.states, 1, STATE.SERVING);
  b.ticks(6);
  t.equal(b.count(C.checksum_mismatch), 2);
});

t.test('an export that begins to be swapped off when the slot is found already is passed by', async (t) => {
  const b = benchOfScrub(t, FAST);
  onImage(b.lane, 1, makePage('text', 1));
  const { slots } = b.z;
  const tryPin = slots.tryPin.bind(slots);
  slots.tryPin = (x, slot) => {
    const r = tryPin(x, slot);
    enter(b.shared.states, 0, STATE.SWAPPING_OFF);
    return r;
  };
  b.ticks(1);
  t.same([b.reads.length, busy(b.shared).pins], [0, 0]);
});

t.test('an idle server costs a look in a tick, be the export as large as it may', async (t) => {
  const b = benchOfScrub(t, FAST, { exports: [{ name: 'a', pages: 2 ** 26, memcg: 0 }] });
  put(b.lane, 2 ** 26 - 1, makePage('text', 1));
  b.ticks(63);
  t.equal(b.count(SCRUB.scrubbed_pages), 0);
  b.ticks(2);
  t.ok(b.count(SCRUB.scrubbed_pages) > 0);
});

t.test(
  'it ends with its thread: no timer, no further page, and a read that is under way gives its pin back',
  async (t) => {
    const b = benchOfScrub(t, FAST);
    for (const slot of [1, 2]) onImage(b.lane, slot, makePage('text', slot));
    b.ticks(1);
    b.scrub.close();
    t.notOk(b.hasTimer());
    b.reads[0].end(makePage('text', 1), 5);
    t.ok(b.lane.tryPin(0, 1) > 0);
    t.same([b.reads.length, b.unreadable.length], [1, 0]);
    t.ok(takeBuffer(b.shared.writebackBuffers, 0, 1) > 0);
  },
);
