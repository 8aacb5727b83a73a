// What a thread's view of the pool keeps in order around protocols: faults, live entries, raw pages, double frees.
import t from 'tap';
import { clearBit, setBit } from '#src/pool/bits.js';
import { POOL } from '#src/pool/counters.js';
import { STATE } from '#src/pool/export_state.js';
import { createShared } from '#src/pool/shared.js';
import { EEXIST, ENOENT } from '#src/pool/slots.js';
import { chooseProtocols, type NameOf, PROTOCOLS } from '#src/protocols/index.js';
import { SHRINK } from '#src/protocols/protocol.js';
import * as sync from '#src/shm/sync.js';
import { ON_IMAGE } from '#src/zswap/loads.js';
import { REJECTED, STORED } from '#src/zswap/store.js';
import { Zswap } from '#src/zswap/zswap.js';
import {
  checkEmpty,
  KINDS,
  makePage,
  NEWEST,
  newZswap,
  pinned,
  poolSettings,
  put,
  TestZswap,
  take,
  zsmallocOf,
} from '../support/pool.ts';

const entryOf = (z: Zswap) => z.lru.head[1];

t.test('a fault that takes the entry off the list puts it back when its pin goes, and no other does', async (t) => {
  const { shared } = newZswap();
  const z = new Zswap(shared, chooseProtocols({ ...NEWEST, busy: 'remove-from-lru-on-fault' }), 2);
  put(z, 1, makePage('text', 1));
  for (const pin of [z.pin.bind(z), z.tryPin.bind(z)]) {
    const r = pin(0, 1);
    t.strictSame([shared.lru.count[1], shared.slotTable.offLru[r]], [0, 1]);
    t.equal(z.tryPin(0, 1), EEXIST, 'who does not get the pin changes nothing');
    z.unpin(r);
    t.strictSame([shared.lru.count[1], shared.slotTable.offLru[r]], [1, 0]);
  }
  const none = z.pin(0, 2);
  t.equal(shared.slotTable.offLru[none], 0, 'a slot without an entry has none on the list');
  z.unpin(none);
  z.invalidate(0, 1);
  checkEmpty(t, shared);
});

t.test('live entries are counted per export where swapoff waits for them, and nowhere else', async (t) => {
  for (const [swapoff, { countsEntries }] of Object.entries(PROTOCOLS.swapoff)) {
    const exports = [0, 1].map((x) => ({ name: `${x}`, pages: 100, memcg: 0 }));
    const { shared } = newZswap({ exports });
    const z = new Zswap(shared, chooseProtocols({ ...NEWEST, swapoff: swapoff as NameOf<'swapoff'> }), 2);
    for (const [slot, kind] of KINDS.entries()) put(z, slot, makePage(kind, slot), 1);
    put(z, 2, makePage('text', 9), 1);
    t.strictSame([...shared.live.subarray(0, 2)], [0, countsEntries ? 3 : 0], swapoff);
    const { control } = z.trees;
    const capacity = control[4];
    control[4] = 1;
    t.equal(put(z, 70, makePage('text', 1), 0), REJECTED, 'no tree node');
    t.equal(shared.live[0], 0);
    control[4] = capacity;
    for (const slot of [0, 1, 2]) z.invalidate(1, slot);
    t.equal(shared.live[1], 0);
  }
});

t.test('an entry that is freed twice is reported before anything of it is given back twice', async (t) => {
  const z = newZswap();
  put(z, 1, makePage('text', 1));
  put(z, 2, makePage('text', 2));
  const e = entryOf(z);
  z.free(e);
  const before = [z.counters[POOL.stored_pages], z.counters[POOL.compressed_bytes], z.lru.charged[1]];
  t.throws(() => z.free(e), /double free of entry/);
  t.strictSame([z.counters[POOL.stored_pages], z.counters[POOL.compressed_bytes], z.lru.charged[1]], before);
});

t.test('writeback pins slots in use that nobody else pins', async (t) => {
  const z = newZswap();
  t.equal(z.pinForWriteback(0, 1), ENOENT);
  setBit(z.shared.users, 0, 1);
  const r = z.pinForWriteback(0, 1);
  t.ok(r > 0);
  t.equal(z.pinForWriteback(0, 1), EEXIST);
  z.unpin(r);
  clearBit(z.shared.users, 0, 1);
  t.equal(z.pinForWriteback(0, 1), ENOENT);
});

t.test('a slot that is given up between the two looks of writeback is not pinned by it', async (t) => {
  const z = newZswap();
  setBit(z.shared.users, 0, 1);
  let looks = 0;
  sync.setHook({
    point(op, words) {
      // The first look found the slot in use.
      if (op === 'load' && words === z.shared.users.words[0] && ++looks === 2)
        Atomics.store(z.shared.users.words[0], 0, 0);
    },
    lock: () => undefined,
    tryLock: () => true,
    unlock: () => undefined,
    retry: () => undefined,
  });
  const r = z.pinForWriteback(0, 1);
  sync.setHook(null);
  t.equal(r, ENOENT);
  checkEmpty(t, z.shared);
});

t.test('from swapoff on nothing is loaded from trees that are gone', async (t) => {
  const z = newZswap();
  put(z, 1, makePage('text', 1));
  t.notOk(z.isSwappedOff(0));
  z.shared.states[0] = STATE.SWAPPING_OFF;
  t.ok(z.isSwappedOff(0));
  t.equal(take(z, 1).result, STORED, 'while it closes they are there');
  z.shared.states[0] = STATE.OFF;
  t.ok(z.isSwappedOff(0));
  t.equal(take(z, 1).result, ON_IMAGE);
});

t.test('an erase under the device lock, and a pin for writeback, give the lock back', async (t) => {
  const { shared } = newZswap();
  const z = new Zswap(
    shared,
    { ...chooseProtocols(NEWEST), switches: { ...chooseProtocols(NEWEST).switches, invalidateUnderDeviceLock: true } },
    2,
  );
  put(z, 1, makePage('text', 1));
  const r = z.pinForWriteback(0, 1);
  z.unpin(r);
  t.equal(shared.deviceLock[0], 0);
  z.invalidate(0, 1);
  t.equal(shared.deviceLock[0], 0);
  checkEmpty(t, shared);
});

t.test('a page is copied out of its buffer and into no other place', async (t) => {
  const z = newZswap();
  z.onWrite = () => undefined;
  put(z, 1, makePage('text', 1));
  z.protocols.entry.shrinkOne(z, 1, z.protocols.busy);
  const dst = new Uint8Array(3 * 4096).fill(0x55);
  pinned(z, 0, 1, (r) => z.load(r, 0, 1, dst, 4096));
  t.ok(Buffer.from(dst.subarray(4096, 8192)).equals(makePage('text', 1)));
  t.ok(dst.subarray(0, 4096).every((byte) => byte === 0x55) && dst.subarray(8192).every((byte) => byte === 0x55));
});

t.test('a page that was loaded or written back is mapped no more', async (t) => {
  const z = newZswap();
  z.onWrite = () => undefined;
  for (const [slot, kind] of [
    [1, 'text'],
    [2, 'random'],
  ] as const) {
    put(z, slot, makePage(kind, slot));
    const e = entryOf(z);
    t.equal(zsmallocOf(z).readers[e], 0);
    take(z, slot);
    t.equal(zsmallocOf(z).readers[e], 0);
    z.protocols.entry.shrinkOne(z, 1, z.protocols.busy);
    t.equal(zsmallocOf(z).readers[e], 0);
  }
});

t.test(
  'pages on their way to a stalled image leave slot records to requests, however many buffers there are',
  async (t) => {
    const requests = 8;
    const buffers = 64;
    const exports = [{ name: 'a', pages: 1024, memcg: 0 }];
    const shared = createShared(poolSettings({ exports, buffers }), requests);
    const z = new TestZswap(shared, chooseProtocols(NEWEST), 2);
    for (let slot = 0; slot < buffers; slot++) {
      put(z, slot, makePage('text', slot));
      t.equal(z.protocols.entry.shrinkOne(z, 1, z.protocols.busy), SHRINK.WRITTEN);
    }
    const pins = Array.from({ length: requests }, (_, i) => z.pin(0, buffers + i));
    t.ok(
      pins.every((r) => r > 0),
      'each request gets its pin',
    );
  },
);
