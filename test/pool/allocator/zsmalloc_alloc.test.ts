// The allocator one call at a time: fullness, free zspages, exhaustion, memory given back, double frees.
import t from 'tap';
import { CLASSES, classOf, ZSPAGE_BYTES } from '#src/pool/allocator/size_classes.js';
import { dirtySize, totalSize } from '#src/pool/allocator/stock.js';
import { createZsmalloc, FULL, GROUPS, Zspool } from '#src/pool/allocator/zsmalloc.js';

const LENGTH = 2000;
const C = classOf(LENGTH);
const OBJECTS = CLASSES.objects[C];

function pool(zspages: number): Zspool {
  return new Zspool(createZsmalloc(zspages * ZSPAGE_BYTES, 4096));
}

function alloc(p: Zspool, handle: number, length = LENGTH): boolean {
  const got = p.alloc(handle, length);
  if (got) p.unmap(handle);
  return got;
}

/** The fullness group in which the class has a zspage, or -1. */
function groups(p: Zspool, c = C): number[] {
  return Array.from({ length: GROUPS }, (_, g) => g).filter((g) => p.z.groupHead[c * GROUPS + g] >= 0);
}

t.test('a zspage moves through the fullness groups as it fills and empties', async (t) => {
  const p = pool(1);
  const seen: number[] = [];
  for (let h = 0; h < OBJECTS; h++) {
    alloc(p, h);
    t.equal(groups(p).length, 1);
    seen.push(...groups(p));
  }
  t.equal(seen[OBJECTS - 1], FULL);
  t.ok(!seen.slice(0, -1).includes(FULL), 'only without a free object is it full');
  t.strictSame(
    seen,
    [...seen].sort((a, b) => a - b),
  );
  for (let h = 0; h < OBJECTS - 1; h++) {
    p.free(h, LENGTH);
    t.strictSame(groups(p), [seen[OBJECTS - 2 - h]]);
  }
});

t.test('objects go to the fullest zspage that has room', async (t) => {
  const p = pool(2);
  for (let h = 0; h < 2 * OBJECTS; h++) alloc(p, h);
  for (let h = 0; h < OBJECTS - 1; h++) p.free(h, LENGTH);
  p.free(2 * OBJECTS - 1, LENGTH);
  alloc(p, 0);
  t.strictSame(groups(p).includes(FULL), true, 'the nearly full zspage got it');
});

t.test('a zspage goes back to the free list with its last object, for any class', async (t) => {
  const p = pool(1);
  alloc(p, 0);
  alloc(p, 1);
  p.free(0, LENGTH);
  t.equal(totalSize(p.z), ZSPAGE_BYTES);
  p.free(1, LENGTH);
  t.equal(totalSize(p.z), 0);
  t.equal(dirtySize(p.z), ZSPAGE_BYTES);
  t.strictSame(groups(p), []);
  t.ok(alloc(p, 2, 100), 'another class takes it');
  t.equal(dirtySize(p.z), 0);
});

t.test('an exhausted pool answers false and changes nothing', async (t) => {
  const p = pool(1);
  for (let h = 0; h < OBJECTS; h++) alloc(p, h);
  const before = structuredClone([p.z.inUse[0], p.z.control, p.z.groupHead, p.z.location[9], p.z.readers]);
  t.equal(p.alloc(4000, LENGTH), false);
  t.equal(p.alloc(4000, 100), false, 'no zspage for another class either');
  t.strictSame([p.z.inUse[0], p.z.control, p.z.groupHead, p.z.location[9], p.z.readers], before);
  t.equal(p.z.classLock[C], 0, 'the class is not left locked');
  p.free(3, LENGTH);
  t.ok(alloc(p, 4000));
});

t.test('trim gives back what exceeds the resident bytes, and the zspages stay usable', async (t) => {
  const p = pool(4);
  for (let h = 0; h < 4 * OBJECTS; h++) alloc(p, h);
  for (let h = 0; h < 4 * OBJECTS; h++) p.free(h, LENGTH);
  const released: number[] = [];
  const release = (_: Uint8Array, offset: number, bytes: number) => {
    t.equal(bytes, ZSPAGE_BYTES);
    released.push(offset);
  };
  t.equal(p.trim(ZSPAGE_BYTES, 2, release), 2, 'at most as many as asked for');
  t.equal(p.trim(ZSPAGE_BYTES, 99, release), 1);
  t.equal(p.trim(ZSPAGE_BYTES, 99, release), 0);
  t.equal(new Set(released).size, 3, 'each zspage once');
  t.equal(dirtySize(p.z), ZSPAGE_BYTES);
  for (let h = 0; h < 4 * OBJECTS; h++) if (!alloc(p, h)) t.fail(`object ${h} found no room`);
  t.equal(alloc(p, 4000), false);
});

t.test('a double free throws, also when the zspage is free by then', async (t) => {
  const p = pool(2);
  alloc(p, 0);
  alloc(p, 1);
  p.free(0, LENGTH);
  t.throws(() => p.free(0, LENGTH), /double free/);
  p.free(1, LENGTH);
  t.throws(() => p.free(1, LENGTH), /double free/);
  t.equal(p.z.classLock[C], 0, 'the class is not left locked');
});

t.test('an object freed under the name of another throws', async (t) => {
  const p = pool(1);
  alloc(p, 5);
  p.z.location[6] = p.z.location[5];
  t.throws(() => p.free(6, LENGTH), /does not own/);
});
