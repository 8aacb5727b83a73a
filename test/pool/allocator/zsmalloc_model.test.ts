// The allocator against a flat model: any order of allocations, frees and compactions keeps every object's bytes.
import fc from 'fast-check';
import t from 'tap';
import { compact } from '#src/pool/allocator/compaction.js';
import { CLASSES, classOf, OBJECT_HEADER, OBJECTS_MAX, ZSPAGE_BYTES } from '#src/pool/allocator/size_classes.js';
import { dirtySize, totalSize } from '#src/pool/allocator/stock.js';
import { createZsmalloc, Zspool } from '#src/pool/allocator/zsmalloc.js';
import { start } from '../../support/pool_threads.ts';

const HANDLES = 256;
const ZSPAGES = 6;
type Model = Map<number, { length: number; value: number }>;

const length = fc.oneof(fc.constantFrom(1, 28, 29, 2000, 2001, 4095, 4096), fc.integer({ min: 1, max: 4096 }));
const command = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('alloc'), handle: fc.nat(HANDLES - 1), length }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('free'), handle: fc.nat(HANDLES - 1), length }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('compact'), handle: fc.constant(0), length: fc.constant(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('trim'), handle: fc.constant(0), length: fc.constant(1) }) },
);
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

t.test('objects never overlap and keep their bytes', async () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 400 }), (commands) => {
      const pool = new Zspool(createZsmalloc(ZSPAGES * ZSPAGE_BYTES, HANDLES));
      const model: Model = new Map();
      commands.forEach((c, i) => {
        run(pool, model, c, i & 0xff);
      });
      check(pool, model);
      for (const [handle, object] of model) pool.free(handle, object.length);
      if (totalSize(pool.z) !== 0) throw new Error('zspages are left');
      if (!pool.z.groupHead.every((head) => head === -1)) throw new Error('a group still lists a zspage');
    }),
    { numRuns: 300 },
  );
});

t.test('threads that allocate and free beside each other keep their objects apart', async (t) => {
  const zs = createZsmalloc(160 * ZSPAGE_BYTES, 2048);
  const work = [0, 1].map((i) => start('churn', { zs, first: i * 1024, count: 1024, rounds: 100_000 }, 2 + i));
  t.strictSame(await Promise.all(work), [100_000, 100_000]);
  t.equal(totalSize(zs), 0);
  t.ok(dirtySize(zs) <= 160 * ZSPAGE_BYTES);
});

function run(pool: Zspool, model: Model, c: Command, value: number): void {
  const old = model.get(c.handle);
  if (c.do === 'alloc' && old === undefined) {
    if (pool.alloc(c.handle, c.length)) {
      const at = pool.offset(c.handle);
      pool.segment(c.handle).fill(value, at, at + c.length);
      pool.unmap(c.handle);
      model.set(c.handle, { length: c.length, value });
    } else if (totalSize(pool.z) < ZSPAGES * ZSPAGE_BYTES) throw new Error('refused while zspages were free');
  } else if (c.do === 'free' && old !== undefined) {
    pool.free(c.handle, old.length);
    model.delete(c.handle);
  } else if (c.do === 'compact') {
    const before = totalSize(pool.z);
    const freed = compact(pool, 2);
    if (before - totalSize(pool.z) !== freed * ZSPAGE_BYTES) throw new Error('compaction miscounts');
  } else if (c.do === 'trim') {
    pool.trim(0, 1, (segment, offset, bytes) => {
      segment.fill(0xee, offset, offset + bytes);
    });
  }
}

function check(pool: Zspool, model: Model): void {
  const perZspage = new Map<number, number>();
  const seen = new Set<number>();
  for (const [handle, { length, value }] of model) {
    pool.map(handle);
    const at = pool.offset(handle);
    const bytes = pool.segment(handle).subarray(at, at + length);
    if (!bytes.every((byte) => byte === value)) throw new Error(`object ${handle} has other bytes`);
    pool.unmap(handle);
    const page = Math.floor(pool.z.location[handle] / OBJECTS_MAX);
    if (pool.z.classOfZspage[page] !== classOf(length)) throw new Error(`object ${handle} is in another class`);
    if (at - OBJECT_HEADER + CLASSES.size[classOf(length)] > (page + 1) * ZSPAGE_BYTES) throw new Error('past the end');
    if (seen.has(at)) throw new Error(`two objects at ${at}`);
    seen.add(at);
    perZspage.set(page, (perZspage.get(page) ?? 0) + 1);
  }
  for (const [page, count] of perZspage) if (pool.z.inUse[page] !== count) throw new Error(`zspage ${page} miscounts`);
  if (totalSize(pool.z) !== perZspage.size * ZSPAGE_BYTES) throw new Error('a zspage without objects is in use');
}
