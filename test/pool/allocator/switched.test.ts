// A pool that is switched between allocators: objects stay where they are until they are freed, and nobody mixes them up.
import t from 'tap';
import {
  type AllocatorName,
  allocatorOf,
  createObjects,
  currentAllocator,
  type Objects,
  openObjects,
  poolsOf,
  poolTotal,
  RECLAIM,
  switchAllocator,
} from '#src/pool/allocator/index.js';
import { Random } from '../../support/random.ts';

const ALL = ['zsmalloc', 'zbud', 'z3fold'] as const;
const HANDLES = 64;
const BYTES = 2 ** 20;

const newPool = (names: readonly AllocatorName[], listed = false): ReturnType<typeof createObjects> =>
  createObjects(names, () => BYTES, HANDLES, listed);

function put(pool: Objects, handle: number, length: number, value: number): boolean {
  if (length > pool.lengthMax || !pool.alloc(handle, length)) return false;
  const at = pool.offset(handle);
  pool.segment(handle).fill(value, at, at + length);
  pool.unmap(handle);
  return true;
}

function has(pool: Objects, handle: number, length: number, value: number): boolean {
  pool.map(handle);
  const at = pool.offset(handle);
  const same = pool.segment(handle).subarray(at, at + length);
  const equal = same.length === length && same.every((byte) => byte === value);
  pool.unmap(handle);
  return equal;
}

t.test('objects keep their bytes over switches, and each pool runs empty', (t) => {
  const memory = newPool(ALL);
  const pool = openObjects(memory);
  const other = openObjects(memory);
  const allocator = allocatorOf(memory);
  const numbers = new Random(7);
  const random = (below: number): number => numbers.below(below);
  const held = new Map<number, { length: number; value: number }>();
  for (let step = 0; step < 5000; step++) {
    const handle = 1 + random(HANDLES - 1);
    const object = held.get(handle);
    if (random(20) === 0) switchAllocator(memory, ALL[random(ALL.length)]);
    else if (object !== undefined) {
      const whole = allocator.owns(memory, handle, object.length) && has(other, handle, object.length, object.value);
      if (!whole) t.fail(`step ${step}: object ${handle} is not as it was stored`);
      other.free(handle, object.length);
      held.delete(handle);
    } else {
      const [length, value] = [1 + random(4096), random(256)];
      if (put(pool, handle, length, value)) held.set(handle, { length, value });
    }
    if (random(50) === 0) pool.compact(2);
    if (random(50) === 0) pool.trim(0, 2, () => undefined);
  }
  const usage = allocator.usage(memory, new Int32Array(8));
  t.equal(allocator.objects(memory), held.size);
  t.match(usage, { linked: allocator.pages(memory), objects: held.size });
  t.ok(
    poolsOf(memory).every((one) => allocatorOf(one).objects(one) > 0),
    'each holds some',
  );
  for (const [handle, { length }] of held) pool.free(handle, length);
  t.equal(poolTotal(memory), 0);
  t.throws(() => pool.free(1, 100), /double free|owns no object/);
  t.end();
});

t.test('what limits and lengths are is what the current allocator says', (t) => {
  const memory = newPool(ALL);
  const pool = openObjects(memory);
  for (const name of ALL) {
    t.ok(switchAllocator(memory, name));
    t.equal(currentAllocator(memory), name);
    const alone = openObjects(newPool([name]));
    t.same([pool.lengthMax, pool.poorBytes], [alone.lengthMax, alone.poorBytes], name);
    t.equal(pool.alloc(1, 100), true);
    pool.unmap(1);
    const footprint = allocatorOf(memory).footprint(memory, 1, 100);
    t.equal(footprint, allocatorOf(newPool([name])).footprint(newPool([name]), 1, 100));
    pool.free(1, 100);
  }
  t.notOk(switchAllocator(newPool(['zbud', 'z3fold']), 'zsmalloc'), 'one that it does not have');
  switchAllocator(memory, 'zbud');
  t.equal(pool.alloc(1, 4096), false, 'who asked another one for its length finds no room');
  t.end();
});

t.test('pages of the one before that do not go leave the turn to those of the current one', (t) => {
  const memory = newPool(['zbud', 'z3fold'], true);
  const pool = openObjects(memory);
  for (const [handle, name] of [
    [1, 'zbud'],
    [2, 'z3fold'],
  ] as const) {
    switchAllocator(memory, name);
    pool.alloc(handle, 1000);
    pool.pages?.label(handle, 0, handle);
    pool.unmap(handle);
  }
  const evict = (stays: number, place: number): boolean => {
    pool.pages?.readLabel(place, false);
    const handle = pool.pages?.labelSlot ?? 0;
    if (handle === stays) return false;
    pool.free(handle, 1000);
    return true;
  };
  t.equal(pool.pages?.reclaimPage(8, false, evict, 1), RECLAIM.FREED);
  t.equal(pool.pages?.reclaimPage(8, false, evict, 1), RECLAIM.AGAIN, 'and what stays is still there');
  t.equal(allocatorOf(memory).objects(memory), 1);
  t.end();
});

t.test('reclaim takes pages of those that are not current first, and then of the current one', (t) => {
  const memory = newPool(['zbud', 'z3fold'], true);
  const pool = openObjects(memory);
  const slots: number[] = [];
  const evict = (_: null, place: number): boolean => {
    pool.pages?.readLabel(place, false);
    slots.push(pool.pages?.labelSlot ?? -1);
    const handle = slots.at(-1) ?? 0;
    pool.free(handle, 1000);
    return true;
  };
  for (const [handle, name] of [
    [1, 'zbud'],
    [2, 'z3fold'],
    [3, 'zbud'],
  ] as const) {
    switchAllocator(memory, name);
    pool.alloc(handle, 1000);
    pool.pages?.label(handle, 0, handle);
    pool.unmap(handle);
  }
  const reclaim = (): number | undefined => pool.pages?.reclaimPage(8, false, evict, null);
  t.equal(reclaim(), RECLAIM.FREED);
  t.same(slots, [2], 'zbud is current');
  t.equal(reclaim(), RECLAIM.FREED);
  t.same(slots.slice(1).sort(), [1, 3]);
  t.equal(reclaim(), RECLAIM.NONE);
  t.equal(poolTotal(memory), 0);
  t.end();
});
