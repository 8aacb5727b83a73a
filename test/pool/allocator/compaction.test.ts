// Compaction: it empties sparse zspages, keeps contents, and leaves alone what somebody looks at.
import t from 'tap';
import { compact } from '#src/pool/allocator/compaction.js';
import { CLASSES, classOf, ZSPAGE_BYTES } from '#src/pool/allocator/size_classes.js';
import { totalSize } from '#src/pool/allocator/stock.js';
import { createZsmalloc, MOVING, Zspool } from '#src/pool/allocator/zsmalloc.js';
import * as sync from '#src/shm/sync.js';
import { start, startAll } from '../../support/pool_threads.ts';

const LENGTH = 1000;
const OBJECTS = CLASSES.objects[classOf(LENGTH)];
const ZSPAGES = 8;

/** Every third object of eight zspages is left, each filled with its handle. */
function sparse(): { pool: Zspool; left: number[] } {
  const pool = new Zspool(createZsmalloc(ZSPAGES * ZSPAGE_BYTES, ZSPAGES * OBJECTS));
  const all = Array.from({ length: ZSPAGES * OBJECTS }, (_, h) => h);
  for (const h of all) {
    pool.alloc(h, LENGTH);
    pool.segment(h).fill(h & 0xff, pool.offset(h), pool.offset(h) + LENGTH);
    pool.unmap(h);
  }
  for (const h of all) if (h % 3 !== 0) pool.free(h, LENGTH);
  return { pool, left: all.filter((h) => h % 3 === 0) };
}

function wrong(pool: Zspool, handles: readonly number[]): number[] {
  return handles.filter((h) => {
    pool.map(h);
    const at = pool.offset(h);
    const bytes = pool.segment(h).subarray(at, at + LENGTH);
    pool.unmap(h);
    return bytes.some((byte) => byte !== (h & 0xff));
  });
}

t.test('moves objects together until no zspage can be had, and keeps their bytes', async (t) => {
  const { pool, left } = sparse();
  const freed = compact(pool, 100);
  t.equal(totalSize(pool.z) / ZSPAGE_BYTES, Math.ceil(left.length / OBJECTS));
  t.equal(freed, ZSPAGES - Math.ceil(left.length / OBJECTS));
  t.strictSame(wrong(pool, left), []);
  t.equal(compact(pool, 100), 0, 'nothing is left to do');
  for (const h of left) pool.free(h, LENGTH);
  t.equal(totalSize(pool.z), 0);
});

t.test('frees at most as many zspages as asked for', async (t) => {
  const { pool } = sparse();
  t.equal(compact(pool, 2), 2);
  t.equal(totalSize(pool.z), (ZSPAGES - 2) * ZSPAGE_BYTES);
});

t.test('does not move an object that is mapped, and moves it later', async (t) => {
  const { pool, left } = sparse();
  for (const h of left) pool.map(h);
  const places = left.map((h) => pool.z.location[h]);
  t.equal(compact(pool, 100), 0);
  t.strictSame(
    left.map((h) => pool.z.location[h]),
    places,
  );
  for (const h of left) pool.unmap(h);
  t.ok(compact(pool, 100) > 0);
  t.strictSame(wrong(pool, left), []);
  t.ok(
    left.every((h) => pool.z.readers[h] === 0),
    'no object is left as moving',
  );
});

t.test('passes by a class that is locked', async (t) => {
  const { pool } = sparse();
  const c = classOf(LENGTH);
  sync.lock(pool.z.classLock, c);
  t.equal(compact(pool, 100), 0);
  sync.unlock(pool.z.classLock, c);
  t.ok(compact(pool, 100) > 0);
});

t.test('map waits while the object is being moved', async (t) => {
  const { pool, left } = sparse();
  const [h] = left;
  pool.z.readers[h] = MOVING;
  const moved = start('change', { words: pool.z.readers.subarray(h, h + 1) });
  pool.map(h);
  t.equal(pool.z.readers[h], 8, 'counted on top of what the mover left');
  await moved;
});

t.test('threads that look at objects while they move see their bytes', async (t) => {
  const { pool, left } = sparse();
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const readers = startAll('objects', [2, 3], { zs: pool.z, handles: left, length: LENGTH, stop });
  // The readers' objects stay allocated; ours around them come and go, so that there is always something to move.
  const spare = Array.from({ length: ZSPAGES * OBJECTS }, (_, h) => h).filter((h) => h % 3 === 1);
  let freed = 0;
  for (let round = 0; round < 3000; round++) {
    const mine = spare.filter((h) => (h + round) % 2 === 0 && pool.alloc(h, LENGTH));
    for (const h of mine) pool.unmap(h);
    for (const h of mine) pool.free(h, LENGTH);
    freed += compact(pool, 4);
  }
  sync.store(stop, 0, 1);
  t.strictSame(await readers, [0, 0], 'no byte was wrong');
  t.ok(freed > 0, 'zspages were freed meanwhile');
  t.strictSame(wrong(pool, left), []);
  t.ok(
    left.every((h) => pool.z.readers[h] === 0),
    'every map was undone by its unmap',
  );
});
