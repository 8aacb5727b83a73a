// Compaction of objects that fill their size class to the last byte: all of it moves, and nothing else is touched.
import t from 'tap';
import { compact } from '#src/pool/allocator/compaction.js';
import { CLASSES, classOf, OBJECT_HEADER, OBJECTS_MAX, ZSPAGE_BYTES } from '#src/pool/allocator/size_classes.js';
import { dirtySize, SEGMENT_BYTES, totalSize } from '#src/pool/allocator/stock.js';
import { createZsmalloc, ZSPAGES_PER_SEGMENT, Zspool } from '#src/pool/allocator/zsmalloc.js';
import { notified, passing } from '../../support/facade.ts';

const LENGTHS = [
  ...new Set([30, 200, 1000, 2000, 3000, 4096].map((bytes) => CLASSES.size[classOf(bytes)] - OBJECT_HEADER)),
];

/** Every byte of an object differs from its neighbours, and the objects from each other. */
const byteAt = (handle: number, i: number) => (handle * 31 + i * 7 + 1) & 0xff;

function make(pool: Zspool, handle: number, length: number): void {
  if (!pool.alloc(handle, length)) throw new Error(`no room for ${handle}`);
  const at = pool.offset(handle);
  const segment = pool.segment(handle);
  for (let i = 0; i < length; i++) segment[at + i] = byteAt(handle, i);
  pool.unmap(handle);
}

function isWhole(pool: Zspool, handle: number, length: number): boolean {
  pool.map(handle);
  const at = pool.offset(handle);
  const bytes = pool.segment(handle).subarray(at, at + length);
  pool.unmap(handle);
  return bytes.length === length && bytes.every((byte, i) => byte === byteAt(handle, i));
}

for (const length of LENGTHS) {
  t.test(`objects of ${length} bytes keep their first and their last byte`, async (t) => {
    const c = classOf(length);
    const objects = CLASSES.objects[c];
    t.equal(CLASSES.size[c], length + OBJECT_HEADER, 'no slack');
    const pool = new Zspool(createZsmalloc(3 * ZSPAGE_BYTES, 3 * objects));
    const all = Array.from({ length: 3 * objects }, (_, handle) => handle);
    for (const h of all) make(pool, h, length);
    const left = all.filter((h) => h % 3 === 0);
    for (const h of all) if (h % 3 !== 0) pool.free(h, length);
    const places = new Map(left.map((h) => [h, pool.z.location[h]]));
    t.equal(compact(pool, 99), 2);
    t.equal(totalSize(pool.z), ZSPAGE_BYTES);
    const moved = left.filter((h) => pool.z.location[h] !== places.get(h));
    t.ok(moved.length >= left.length / 3, `${moved.length} of ${left.length} moved`);
    t.strictSame(
      left.filter((h) => !isWhole(pool, h, length)),
      [],
    );
    t.equal(new Set(left.map((h) => pool.z.location[h])).size, left.length, 'each has a place of its own');
  });
}

t.test('two zspages whose objects fit exactly into one of them become one', async (t) => {
  const length = LENGTHS[LENGTHS.length - 1];
  const objects = CLASSES.objects[classOf(length)];
  const pool = new Zspool(createZsmalloc(2 * ZSPAGE_BYTES, 2 * objects));
  for (let h = 0; h < 2 * objects; h++) make(pool, h, length);
  const keep = Math.floor(objects / 2);
  for (let h = 0; h < objects - keep; h++) pool.free(h, length);
  for (let h = objects; h < objects + keep; h++) pool.free(h, length);
  t.equal(compact(pool, 99), 1, 'the room is just enough');
  t.equal(dirtySize(pool.z), ZSPAGE_BYTES);
  const left = [...Array(2 * objects).keys()].filter(
    (h) => h >= objects - keep && (h < objects || h >= objects + keep),
  );
  t.equal(left.length, objects);
  t.ok(left.every((h) => isWhole(pool, h, length)));
});

t.test('one object more than fits beside it moves nothing', async (t) => {
  const length = LENGTHS[LENGTHS.length - 1];
  const objects = CLASSES.objects[classOf(length)];
  const pool = new Zspool(createZsmalloc(2 * ZSPAGE_BYTES, 2 * objects));
  for (let h = 0; h < 2 * objects; h++) make(pool, h, length);
  const half = Math.floor(objects / 2);
  for (let h = 0; h < half; h++) pool.free(h, length);
  for (let h = objects; h < 2 * objects - half - 1; h++) pool.free(h, length);
  const before = [...pool.z.location];
  t.equal(compact(pool, 99), 0);
  t.strictSame([...pool.z.location], before);
});

t.test('zspages that are nearly full give one of them up when the others have room for it', async (t) => {
  const length = 28;
  const objects = CLASSES.objects[classOf(length)];
  const zspages = 14;
  const kept = 1900;
  const pool = new Zspool(createZsmalloc(zspages * ZSPAGE_BYTES, zspages * objects));
  for (let h = 0; h < zspages * objects; h++) make(pool, h, length);
  for (let h = 0; h < zspages * objects; h++) if (h % objects >= kept) pool.free(h, length);
  t.ok(kept > 0.9 * objects && (zspages - 1) * (objects - kept) >= kept);
  t.equal(compact(pool, 99), 1);
});

t.test('who waits for a moved object is told that it has moved', async (t) => {
  const length = LENGTHS[0];
  const objects = CLASSES.objects[classOf(length)];
  const pool = new Zspool(createZsmalloc(2 * ZSPAGE_BYTES, objects + 1));
  for (let h = 0; h <= objects; h++) make(pool, h, length);
  for (let h = 1; h < objects; h++) pool.free(h, length);
  const calls = notified(() => t.equal(compact(pool, 1), 1)).filter(({ words }) => words === pool.z.readers);
  t.equal(calls.length, 1);
  t.ok([0, objects].includes(calls[0].index));
});

t.test('an object is only moved while it is marked as moving, and the mark goes last', async (t) => {
  const length = LENGTHS[0];
  const objects = CLASSES.objects[classOf(length)];
  const pool = new Zspool(createZsmalloc(2 * ZSPAGE_BYTES, objects + 1));
  for (let h = 0; h <= objects; h++) make(pool, h, length);
  for (let h = 1; h < objects; h++) pool.free(h, length);
  const before = [pool.z.location[0], pool.z.location[objects]];
  const seen: boolean[] = [];
  passing(
    () => compact(pool, 1),
    ({ op, words }) => {
      if (words === pool.z.readers) seen.push(op === 'store');
      const moved = [pool.z.location[0], pool.z.location[objects]].findIndex((place, i) => place !== before[i]);
      if (moved >= 0 && seen.length < 3 && op !== 'store') return;
      if (moved >= 0 && op === 'store') t.equal(pool.z.readers[moved === 0 ? 0 : objects], -1, 'still marked');
    },
  );
  t.strictSame(seen, [false, true], 'a compare-and-swap takes it, a store gives it back');
});

t.test('objects move between segments of the pool', async (t) => {
  const length = LENGTHS[LENGTHS.length - 1];
  const objects = CLASSES.objects[classOf(length)];
  const pool = new Zspool(createZsmalloc(SEGMENT_BYTES + ZSPAGE_BYTES, 2 * objects));
  // All but the last zspage of the first segment were handed out, as far as the allocator knows.
  pool.z.control[3] = ZSPAGES_PER_SEGMENT - 1;
  for (let h = 0; h < 2 * objects; h++) make(pool, h, length);
  t.equal(pool.alloc(0, 1), false, 'the pool ends with the second segment');
  t.strictSame([pool.segment(0) === pool.z.segments[0], pool.segment(objects) === pool.z.segments[1]], [true, true]);
  t.strictSame([pool.offset(0), pool.offset(objects)], [SEGMENT_BYTES - ZSPAGE_BYTES + OBJECT_HEADER, OBJECT_HEADER]);
  for (let h = 1; h < objects; h++) pool.free(h, length);
  pool.free(2 * objects - 1, length);
  t.equal(compact(pool, 1), 1);
  t.equal(Math.floor(pool.z.location[0] / OBJECTS_MAX), ZSPAGES_PER_SEGMENT);
  t.ok([0, ...Array.from({ length: objects - 1 }, (_, i) => objects + i)].every((h) => isWhole(pool, h, length)));
  const released: [boolean, number][] = [];
  t.equal(
    pool.trim(0, 9, (segment, offset) => released.push([segment === pool.z.segments[0], offset])),
    1,
  );
  t.strictSame(released, [[true, SEGMENT_BYTES - ZSPAGE_BYTES]]);
});
