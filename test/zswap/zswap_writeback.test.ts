// Writeback of one victim: which one, what becomes of it, and what happens when its slot is in use or gone.
import t from 'tap';
import { release } from '#src/pool/claims.js';
import { SHRINK } from '#src/protocols/protocol.js';
import { sum } from '#src/shm/counters.js';
import * as sync from '#src/shm/sync.js';
import { C } from '#src/zswap/counters.js';
import { LOADED, ON_IMAGE } from '#src/zswap/loads.js';
import { STORED } from '#src/zswap/store.js';
import type { Zswap } from '#src/zswap/zswap.js';
import {
  checkEmpty,
  endWrite,
  held,
  makePage,
  memoryImage,
  newZswap,
  pinned,
  put,
  standing,
  take,
} from '../support/pool.ts';

const shrink = (z: Zswap, m = 1) => z.protocols.entry.shrinkOne(z, m, z.protocols.busy);

/** Runs `act` when writeback is at the protocol step. The hook stands in for the other thread, so the order is certain. */
function at(label: string, act: () => void): void {
  const pass = {
    point(op: string): void {
      if (op !== label) return;
      sync.setHook(null);
      act();
    },
    lock: (words: Int32Array, index: number): void => {
      words[index] = 1;
    },
    tryLock: (words: Int32Array, index: number): boolean => {
      words[index] = 1;
      return true;
    },
    unlock: (words: Int32Array, index: number): void => {
      words[index] = 0;
    },
    retry: (): void => {},
  };
  sync.setHook(pass);
}

t.test('the coldest page is written back first, and leaves nothing in the pool', async (t) => {
  const z = newZswap();
  const image = memoryImage(z);
  for (const slot of [7, 3, 9]) put(z, slot, makePage('text', slot));
  put(z, 7, makePage('text', 77));
  t.strictSame(
    [shrink(z), shrink(z), shrink(z), shrink(z)],
    [SHRINK.WRITTEN, SHRINK.WRITTEN, SHRINK.WRITTEN, SHRINK.EMPTY],
  );
  t.strictSame([...image.keys()], [3, 9, 7], 'a page stored again is warm');
  t.ok(Buffer.from(image.get(7)!).equals(makePage('text', 77)));
  t.equal(take(z, 7).result, ON_IMAGE);
  t.equal(sum(z.shared.counters, C.written_back_pages), 3);
  checkEmpty(t, z.shared);
});

t.test('a raw page is written back as it is, a same-filled one is never a victim', async (t) => {
  const z = newZswap();
  const image = memoryImage(z);
  put(z, 1, makePage('same', 1));
  put(z, 2, makePage('random', 2));
  t.strictSame([shrink(z), shrink(z)], [SHRINK.WRITTEN, SHRINK.EMPTY]);
  t.ok(Buffer.from(image.get(2)!).equals(makePage('random', 2)));
  t.equal(held(z.shared).raw, 0);
  t.equal(take(z, 1).result, LOADED);
});

t.test('a page that was read or is new gets a second chance', async (t) => {
  const z = newZswap({ heuristic: 'second-chance' });
  const image = memoryImage(z);
  put(z, 1, makePage('text', 1));
  put(z, 2, makePage('text', 2));
  t.strictSame([shrink(z), shrink(z)], [SHRINK.ROTATED, SHRINK.ROTATED]);
  take(z, 1);
  t.strictSame([shrink(z), shrink(z)], [SHRINK.ROTATED, SHRINK.WRITTEN]);
  t.strictSame([...image.keys()], [2], 'the page that was read stays');
  t.equal(shrink(z), SHRINK.WRITTEN);
});

t.test('until the image has it, a page is read from its buffer, and a newer store wins', async (t) => {
  const z = newZswap();
  const pending: [number, number, number][] = [];
  z.onWrite = (x, slot, buffer) => pending.push([x, slot, buffer]);
  for (const slot of [1, 2]) put(z, slot, makePage('text', slot));
  t.strictSame([shrink(z), shrink(z)], [SHRINK.WRITTEN, SHRINK.WRITTEN]);
  t.equal(held(z.shared).entries, 0);
  const got = take(z, 1);
  t.equal(got.result, LOADED);
  t.ok(Buffer.from(got.page).equals(makePage('text', 1)));
  t.equal(put(z, 2, makePage('text', 22)), STORED);
  t.ok(Buffer.from(take(z, 2).page).equals(makePage('text', 22)));
  for (const [x, slot, buffer] of pending) {
    endWrite(z, x, slot, buffer);
  }
  t.equal(take(z, 1).result, ON_IMAGE);
  t.ok(Buffer.from(take(z, 2).page).equals(makePage('text', 22)));
  z.invalidate(0, 2);
  checkEmpty(t, z.shared);
});

t.test('an invalidated slot loses the page that is being written, too', async (t) => {
  const z = newZswap();
  const pending: number[] = [];
  z.onWrite = (_x, _slot, buffer) => pending.push(buffer);
  put(z, 1, makePage('text', 1));
  shrink(z);
  z.invalidate(0, 1);
  t.equal(take(z, 1).result, ON_IMAGE);
  endWrite(z, 0, 1, pending[0]);
  checkEmpty(t, z.shared);
});

t.test('a victim whose slot is pinned is skipped, and stays', async (t) => {
  const z = newZswap();
  memoryImage(z);
  put(z, 1, makePage('text', 1));
  put(z, 2, makePage('text', 2));
  pinned(z, 0, 1, () =>
    t.strictSame([shrink(z), shrink(z), shrink(z)], [SHRINK.EEXIST, SHRINK.WRITTEN, SHRINK.EEXIST]),
  );
  t.equal(sum(z.shared.counters, C.writeback_busy), 2);
  t.equal(held(z.shared).buffers, 0);
  t.equal(take(z, 1).result, LOADED);
});

t.test('a victim in a claimed range is skipped', async (t) => {
  const z = newZswap();
  put(z, 5, makePage('text', 5));
  const row = standing(z.shared.claims, 0, 0, 512, z.thread);
  t.equal(shrink(z), SHRINK.EEXIST);
  release(z.shared.claims, row, z.shared.boxes);
  z.invalidate(0, 5);
  checkEmpty(t, z.shared);
});

t.test('a victim that is trimmed before its slot is pinned is gone', async (t) => {
  const z = newZswap();
  const image = memoryImage(z);
  put(z, 1, makePage('text', 1));
  at('d', () => z.invalidate(0, 1));
  t.equal(shrink(z), SHRINK.GONE);
  t.equal(image.size, 0);
  t.equal(sum(z.shared.counters, C.writeback_invalidated), 1);
  checkEmpty(t, z.shared);
});

t.test('a victim whose slot was trimmed and stored anew in another entry is not written', async (t) => {
  const z = newZswap();
  const image = memoryImage(z);
  put(z, 1, makePage('text', 1));
  at('d', () => {
    z.invalidate(0, 1);
    put(z, 2, makePage('text', 2));
    put(z, 1, makePage('text', 11));
  });
  t.equal(shrink(z), SHRINK.GONE);
  t.equal(image.size, 0);
  t.ok(Buffer.from(take(z, 1).page).equals(makePage('text', 11)));
});

t.test('without a free buffer nothing is written, and the page stays', async (t) => {
  const z = newZswap({ buffers: 1 });
  const taken = z.takePage(0);
  put(z, 1, makePage('text', 1));
  t.equal(shrink(z), SHRINK.ENOMEM);
  z.givePage(taken);
  t.equal(z.shared.boxes[z.thread], 1, 'woken when the buffer is back');
  memoryImage(z);
  t.equal(shrink(z), SHRINK.WRITTEN);
});

t.test('an object that does not decompress is not written back and not lost from the list', async (t) => {
  const z = newZswap();
  const image = memoryImage(z);
  put(z, 1, makePage('text', 1));
  const e = z.lru.head[1];
  const at = z.objects.offset(e);
  z.objects.segment(e).fill(0xff, at, at + 8);
  t.equal(shrink(z), SHRINK.EIO);
  t.equal(image.size, 0);
  t.not(take(z, 1).result, LOADED);
  t.equal(sum(z.shared.counters, C.decompress_fail), 2);
  z.invalidate(0, 1);
  checkEmpty(t, z.shared);
});
