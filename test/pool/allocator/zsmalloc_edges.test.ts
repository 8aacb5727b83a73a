// The allocator at its edges: the last zspage, several segments, and memory given back.
import t from 'tap';
import {
  CLASSES,
  classOf,
  OBJECT_HEADER,
  OBJECTS_MAX,
  ZSPAGE_BYTES,
  ZSPAGES_MAX,
} from '#src/pool/allocator/size_classes.js';
import { dirtySize, SEGMENT_BYTES, totalSize } from '#src/pool/allocator/stock.js';
import { createZsmalloc, ZSPAGES_PER_SEGMENT, Zspool } from '#src/pool/allocator/zsmalloc.js';
import { notified } from '../../support/facade.ts';

t.test('a pool is as large as asked for, in zspages, over segments of 1 GiB', async (t) => {
  for (const [bytes, zspages, segments] of [
    [1, 1, [ZSPAGE_BYTES]],
    [ZSPAGE_BYTES, 1, [ZSPAGE_BYTES]],
    [ZSPAGE_BYTES + 1, 2, [2 * ZSPAGE_BYTES]],
    [SEGMENT_BYTES, ZSPAGES_PER_SEGMENT, [SEGMENT_BYTES]],
    [SEGMENT_BYTES + 1, ZSPAGES_PER_SEGMENT + 1, [SEGMENT_BYTES, ZSPAGE_BYTES]],
  ] as const) {
    const z = createZsmalloc(bytes, 1);
    t.equal(z.pages, zspages);
    t.strictSame(
      z.segments.map((segment) => segment.length),
      segments,
    );
  }
});

t.test('no pool has more zspages than a location can tell apart', async (t) => {
  const z = createZsmalloc(ZSPAGE_BYTES, 1);
  const last = (ZSPAGES_MAX - 1) * OBJECTS_MAX + (OBJECTS_MAX - 1);
  z.location[0] = last;
  t.equal(z.location[0], last, 'the last object of the largest pool');
  // Refused before anything is reserved.
  t.throws(() => createZsmalloc(ZSPAGES_MAX * ZSPAGE_BYTES + 1, 1), { message: /2097153 zspages/ });
});

t.test('every zspage of a pool can be had, each object in it lies inside, and no two overlap', async (t) => {
  for (const length of [1, 28, 1000, 4096]) {
    const objects = CLASSES.objects[classOf(length)];
    const size = CLASSES.size[classOf(length)];
    const pool = new Zspool(createZsmalloc(2 * ZSPAGE_BYTES, 2 * objects + 1));
    const places = new Set<number>();
    for (let h = 0; h < 2 * objects; h++) {
      if (!pool.alloc(h, length)) t.fail(`object ${h}`);
      const start = pool.offset(h) - OBJECT_HEADER;
      places.add(start);
      const page = Math.floor(start / ZSPAGE_BYTES);
      if ((start % ZSPAGE_BYTES) % size !== 0 || start + size > (page + 1) * ZSPAGE_BYTES) t.fail(`${h} at ${start}`);
      pool.unmap(h);
    }
    t.equal(places.size, 2 * objects);
    t.equal(pool.alloc(2 * objects, length), false);
    t.equal(totalSize(pool.z), 2 * ZSPAGE_BYTES);
  }
});

t.test('an object is mapped by its allocation, once', async (t) => {
  const pool = new Zspool(createZsmalloc(ZSPAGE_BYTES, 2));
  pool.alloc(0, 100);
  t.equal(pool.z.readers[0], 1);
  pool.map(0);
  t.equal(pool.z.readers[0], 2);
  pool.unmap(0);
  pool.unmap(0);
  t.equal(pool.z.readers[0], 0);
});

t.test('a zspage that is free and resident is used before one that was given back', async (t) => {
  const length = 4096;
  const objects = CLASSES.objects[classOf(length)];
  const pool = new Zspool(createZsmalloc(4 * ZSPAGE_BYTES, 4 * objects));
  const all = [...Array(2 * objects).keys()];
  for (const h of all) pool.alloc(h, length);
  const pages = [...new Set(all.map((h) => Math.floor(pool.z.location[h] / OBJECTS_MAX)))];
  for (const h of all) pool.free(h, length);
  const released: number[] = [];
  t.equal(
    pool.trim(ZSPAGE_BYTES, 9, (_segment, offset) => released.push(offset / ZSPAGE_BYTES)),
    1,
  );
  t.equal(dirtySize(pool.z), ZSPAGE_BYTES);
  const [resident] = pages.filter((page) => page !== released[0]);
  pool.alloc(0, length);
  t.equal(Math.floor(pool.z.location[0] / OBJECTS_MAX), resident);
  for (let h = 1; h < objects; h++) pool.alloc(h, length);
  pool.alloc(objects, length);
  t.equal(Math.floor(pool.z.location[objects] / OBJECTS_MAX), released[0], 'and that before one never touched');
});

t.test('trimming stops at the bytes to keep, not one zspage further', async (t) => {
  const length = 4096;
  const objects = CLASSES.objects[classOf(length)];
  const pool = new Zspool(createZsmalloc(3 * ZSPAGE_BYTES, 3 * objects));
  const all = [...Array(3 * objects).keys()];
  for (const h of all) pool.alloc(h, length);
  for (const h of all) pool.free(h, length);
  const trim = (keep: number) => pool.trim(keep, 9, () => undefined);
  t.equal(trim(3 * ZSPAGE_BYTES), 0);
  t.equal(trim(3 * ZSPAGE_BYTES - 1), 1);
  t.equal(trim(2 * ZSPAGE_BYTES), 0);
  t.equal(trim(0), 2);
  t.equal(dirtySize(pool.z), 0);
  t.equal(trim(0), 0);
});

t.test('an object that nobody moves costs no wake-up', async (t) => {
  const pool = new Zspool(createZsmalloc(ZSPAGE_BYTES, 2));
  t.strictSame(
    notified(() => {
      pool.alloc(0, 10);
      pool.map(0);
      pool.unmap(0);
      pool.unmap(0);
      pool.free(0, 10);
    }),
    [],
  );
});
