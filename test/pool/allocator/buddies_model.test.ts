// zbud and z3fold against a flat model: any order of allocations and frees keeps every object's bytes and wastes no page.
import fc from 'fast-check';
import t from 'tap';
import { FIRST, LAST, LISTS, SHARED_BYTES_MAX } from '#src/pool/allocator/buddies.js';
import { type AllocatorName, allocatorNamed, type Objects, openObjects } from '#src/pool/allocator/index.js';
import { dirtySize, totalSize } from '#src/pool/allocator/stock.js';
import { PAGE_SIZE } from '#src/pool/limits.js';
import { start } from '../../support/pool_threads.ts';

const HANDLES = 64;
const PAGES = 24;
type Model = Map<number, { length: number; value: number }>;

const length = fc.oneof(
  fc.constantFrom(1, 64, 65, 1344, 2016, 2017, 3967, SHARED_BYTES_MAX),
  fc.integer({ min: 1, max: SHARED_BYTES_MAX }),
  fc.integer({ min: SHARED_BYTES_MAX + 1, max: PAGE_SIZE }),
);
const command = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('alloc'), handle: fc.nat(HANDLES - 1), length }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('free'), handle: fc.nat(HANDLES - 1), length }) },
  // Somebody looks at an object: it must stay where it is while others go.
  { weight: 2, arbitrary: fc.record({ do: fc.constant('look'), handle: fc.nat(HANDLES - 1), length }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('trim'), handle: fc.constant(0), length: fc.constant(1) }) },
);
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

for (const name of ['zbud', 'z3fold'] as const) {
  const allocator = allocatorNamed(name);

  t.test(`objects of ${name} never overlap and keep their bytes`, async () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 400 }), (commands) => {
        const memory = allocator.create(PAGES * PAGE_SIZE, HANDLES);
        const pool = openObjects(memory);
        const model: Model = new Map();
        const looked = new Map<number, number>();
        const stopLooking = (handle: number): void => {
          if (!looked.delete(handle)) return;
          pool.unmap(handle);
        };
        commands.forEach((c, i) => {
          if (c.do === 'free') stopLooking(c.handle);
          if (c.do === 'look' && model.has(c.handle)) {
            if (looked.has(c.handle)) stopLooking(c.handle);
            else {
              pool.map(c.handle);
              looked.set(c.handle, pool.offset(c.handle));
            }
          }
          run(pool, model, c, i & 0xff, () => totalSize(memory) === PAGES * PAGE_SIZE);
          for (const [handle, at] of looked) {
            if (pool.offset(handle) !== at) throw new Error(`object ${handle} was moved while somebody looked at it`);
          }
        });
        for (const handle of [...looked.keys()]) stopLooking(handle);
        check(name, memory, pool, model);
        for (const [handle, object] of model) pool.free(handle, object.length);
        if (totalSize(memory) !== 0 || allocator.objects(memory) !== 0) throw new Error('pages are left');
        const usage = allocator.usage(memory, new Int32Array(4));
        if (usage === null || usage.linked !== 0) throw new Error('a list still has a page');
      }),
      { numRuns: 200 },
    );
  });

  t.test(`threads that allocate and free in ${name} beside each other keep their objects apart`, async (t) => {
    const zs = allocator.create(1024 * PAGE_SIZE, 1024);
    const work = [0, 1].map((i) => start('churn', { zs, first: i * 512, count: 512, rounds: 60_000 }, 2 + i));
    t.strictSame(await Promise.all(work), [60_000, 60_000]);
    t.equal(totalSize(zs), 0);
    t.ok(dirtySize(zs) <= 1024 * PAGE_SIZE);
    t.same(allocator.usage(zs, new Int32Array(8)), { linked: 0, objects: 0 });
  });
}

function run(pool: Objects, model: Model, c: Command, value: number, isFull: () => boolean): void {
  const old = model.get(c.handle);
  if (c.do === 'alloc' && old === undefined && c.length <= pool.lengthMax) {
    if (pool.alloc(c.handle, c.length)) {
      const at = pool.offset(c.handle);
      pool.segment(c.handle).fill(value, at, at + c.length);
      pool.unmap(c.handle);
      model.set(c.handle, { length: c.length, value });
    } else if (!isFull()) throw new Error('refused while pages were free');
  } else if (c.do === 'free' && old !== undefined) {
    pool.free(c.handle, old.length);
    model.delete(c.handle);
  } else if (c.do === 'trim') {
    pool.trim(0, 1, (segment, offset, bytes) => {
      segment.fill(0xee, offset, offset + bytes);
    });
  }
}

function check(
  name: AllocatorName,
  memory: ReturnType<ReturnType<typeof allocatorNamed>['create']>,
  pool: Objects,
  model: Model,
): void {
  const allocator = allocatorNamed(name);
  const places: [number, number][] = [];
  const perPage = new Map<number, number>();
  for (const [handle, { length, value }] of model) {
    if (!allocator.owns(memory, handle, length)) throw new Error(`object ${handle} is not where it should be`);
    pool.map(handle);
    const at = pool.offset(handle);
    if (
      !pool
        .segment(handle)
        .subarray(at, at + length)
        .every((byte) => byte === value)
    ) {
      throw new Error(`object ${handle} has other bytes`);
    }
    pool.unmap(handle);
    places.push([at, at + allocator.footprint(memory, handle, length)]);
    const page = Math.floor(at / PAGE_SIZE);
    perPage.set(page, (perPage.get(page) ?? 0) + 1);
    if (length <= SHARED_BYTES_MAX && at % PAGE_SIZE < 64) throw new Error(`object ${handle} is in the header`);
  }
  places.sort(([a], [b]) => a - b);
  places.forEach(([from], i) => {
    if (i > 0 && places[i - 1][1] > from) throw new Error(`two objects at ${from}`);
  });
  const most = name === 'zbud' ? 2 : 3;
  for (const [page, objects] of perPage) if (objects > most) throw new Error(`page ${page} has ${objects} objects`);
  if (totalSize(memory) !== perPage.size * PAGE_SIZE) throw new Error('a page without objects is in use');
  if (allocator.objects(memory) !== model.size) throw new Error('objects are miscounted');
  const usage = allocator.usage(memory, new Int32Array(4));
  if (usage === null || usage.linked !== perPage.size || usage.objects !== model.size) {
    throw new Error('the lists have other pages than the objects');
  }
  if (memory.kind === 'zsmalloc') throw new Error('not a pool of pages');
  for (let page = 0; page < PAGES; page++) {
    if (perPage.has(page) && memory.list[page] >= LISTS)
      throw new Error(`page ${page} is on list ${memory.list[page]}`);
  }
}

t.test('what a handle says of its place does not wrap with the largest pool', async (t) => {
  for (const name of ['zbud', 'z3fold'] as const) {
    const { bytesMax, create } = allocatorNamed(name);
    t.equal(bytesMax, 64 * 2 ** 30);
    t.throws(() => create(bytesMax + 1, 1), { message: /16777217 pages/ });
  }
  t.ok(FIRST > 0 && LAST < 4);
});
