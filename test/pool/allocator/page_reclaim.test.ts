// Reclaim by pages, of zbud and z3fold: which page is taken, what is evicted, what becomes of it, and labels.
import fc from 'fast-check';
import t from 'tap';
import { RECLAIM } from '#src/pool/allocator/allocator.js';
import { createBuddies } from '#src/pool/allocator/buddies.js';
import { allocatorNamed, openObjects } from '#src/pool/allocator/index.js';
import { totalSize } from '#src/pool/allocator/stock.js';
import { Z3fold } from '#src/pool/allocator/z3fold.js';
import { Zbud } from '#src/pool/allocator/zbud.js';
import { PAGE_SIZE } from '#src/pool/limits.js';

const HANDLES = 64;
const NAMES = ['zbud', 'z3fold'] as const;
type Name = (typeof NAMES)[number];

interface Pool {
  readonly p: Zbud | Z3fold;
  /** Evicts by labels: frees what `stays` does not name, and answers so. Which handles were asked for, in order. */
  reclaim(stays?: readonly number[], tries?: number): { result: number; asked: number[] };
}

function pool(name: Name, pages: number): Pool {
  const memory = createBuddies(name, pages * PAGE_SIZE, HANDLES, true);
  const p = name === 'zbud' ? new Zbud(memory) : new Z3fold(memory);
  return {
    p,
    reclaim: (stays = [], tries = 8) => {
      const asked: number[] = [];
      const evict = (context: typeof p, place: number): boolean => {
        context.readLabel(place, false);
        const handle = context.labelSlot;
        asked.push(handle);
        if (stays.includes(handle)) return false;
        context.free(handle);
        return true;
      };
      return { result: p.reclaimPage(tries, false, evict, p), asked };
    },
  };
}

function put(p: Pool['p'], handle: number, length: number): boolean {
  if (!p.alloc(handle, length)) return false;
  p.label(handle, 7, handle);
  p.unmap(handle);
  return true;
}

for (const name of NAMES) {
  const half = 1800;

  t.test(`${name}: the page that was stored to longest ago goes, with all that it holds`, async (t) => {
    const { p, reclaim } = pool(name, 4);
    // Two to a page; the first page is stored to again last.
    for (const handle of [1, 2, 3, 4]) put(p, handle, half);
    p.free(2);
    put(p, 5, half);
    t.same(reclaim(), { result: RECLAIM.FREED, asked: [3, 4] });
    t.equal(totalSize(p.b), PAGE_SIZE);
    t.same(reclaim(), { result: RECLAIM.FREED, asked: [1, 5] });
    t.same(reclaim(), { result: RECLAIM.NONE, asked: [] });
    t.equal(totalSize(p.b), 0);
  });

  t.test(`${name}: a page that stays becomes the newest, and another is tried`, async (t) => {
    const { p, reclaim } = pool(name, 4);
    for (const handle of [1, 2, 3, 4]) put(p, handle, half);
    t.same(reclaim([2]), { result: RECLAIM.FREED, asked: [1, 2, 3, 4] });
    t.equal(allocatorNamed(name).strays(p.b), 0);
    t.ok(put(p, 6, half), 'and what was evicted of it is free for others');
    t.equal(totalSize(p.b), PAGE_SIZE);
  });

  t.test(
    `${name}: after one that does not go the others of its page are not asked for, and tries are bounded`,
    async (t) => {
      const { p, reclaim } = pool(name, 2);
      for (const handle of [1, 2]) put(p, handle, half);
      t.same(reclaim([1], 3), { result: RECLAIM.AGAIN, asked: [1, 1, 1] });
      t.equal(allocatorNamed(name).objects(p.b), 2);
    },
  );

  t.test(
    `${name}: nobody stores to a page that is being reclaimed, and who frees there leaves it to reclaim`,
    async (t) => {
      const { p } = pool(name, 2);
      put(p, 1, half);
      put(p, 2, half);
      const seen: unknown[] = [];
      const result = p.reclaimPage(
        1,
        false,
        (context: typeof p, place) => {
          if (seen.length === 0) {
            context.free(1);
            put(context, 3, half);
            seen.push(totalSize(context.b));
            context.free(2);
          }
          // What was freed is still there to be read.
          context.readLabel(place, false);
          seen.push([context.labelX, context.labelSlot]);
          return true;
        },
        p,
      );
      t.equal(result, RECLAIM.FREED);
      t.same(seen, [2 * PAGE_SIZE, [7, 1], [7, 2]]);
      t.equal(totalSize(p.b), PAGE_SIZE, 'the page of the third one');
      t.equal(allocatorNamed(name).strays(p.b), 0);
    },
  );

  t.test(`${name}: a label takes eight bytes of what an object may have`, async (t) => {
    const { p } = pool(name, 2);
    t.equal(p.lengthMax, name === 'zbud' ? 3960 : 4088);
    t.ok(p.alloc(1, p.lengthMax));
    p.segment(1).fill(0xff, p.offset(1), p.offset(1) + p.lengthMax);
    p.label(1, 3, 2 ** 31 + 5);
    p.unmap(1);
    p.readLabel(p.b.location[1], false);
    t.same([p.labelX, p.labelSlot], [3, 2 ** 31 + 5]);
    t.ok(p.segment(1)[p.offset(1)] === 0xff);
  });
}

t.test('z3fold: an object is evicted by where it is, in the order middle, first, last', async (t) => {
  const { p, reclaim } = pool('z3fold', 1);
  for (const handle of [1, 2, 3]) put(p, handle, 1200);
  t.same(reclaim(), { result: RECLAIM.FREED, asked: [3, 1, 2] });
});

t.test('z3fold: a page that another thread has locked is passed by', async (t) => {
  const { p, reclaim } = pool('z3fold', 2);
  for (const handle of [1, 2]) put(p, handle, 3000);
  p.b.pageLock[0] = 99;
  t.same(reclaim(), { result: RECLAIM.FREED, asked: [2] });
  t.same(reclaim(), { result: RECLAIM.NONE, asked: [] });
  p.b.pageLock[0] = 0;
  t.same(reclaim(), { result: RECLAIM.FREED, asked: [1] });
});

t.test(
  'z3fold before 4.20: the label of a last object that was freed is read behind the end of its page',
  async (t) => {
    const { p } = pool('z3fold', 1);
    put(p, 1, 1000);
    put(p, 2, 1000);
    const { 2: place } = p.b.location;
    const free = (byChunks: boolean): number =>
      p.reclaimPage(
        1,
        false,
        (context: typeof p, at) => {
          if (at !== place) return true;
          context.free(2);
          context.readLabel(at, byChunks);
          return true;
        },
        p,
      );
    t.throws(() => free(true), { message: /use after free: the label of an object that was freed is read behind/ });
  },
);

const command = fc.record({
  do: fc.constantFrom('put', 'put', 'put', 'free', 'reclaim'),
  handle: fc.integer({ min: 1, max: HANDLES - 1 }),
  length: fc.integer({ min: 1, max: 4096 }),
  stays: fc.uniqueArray(fc.integer({ min: 1, max: HANDLES - 1 }), { maxLength: 40 }),
});

for (const name of NAMES) {
  t.test(`${name}: whatever is stored, freed and reclaimed, each page with objects is on its lists`, async () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
        const { p, reclaim } = pool(name, 20);
        const live = new Map<number, number>();
        for (const { do: what, handle, length, stays } of commands) {
          if (what === 'put' && !live.has(handle) && length <= p.lengthMax && put(p, handle, length)) {
            live.set(handle, length);
          } else if (what === 'free' && live.delete(handle)) p.free(handle);
          else if (what === 'reclaim') {
            const { asked } = reclaim(stays);
            for (const one of asked) if (!stays.includes(one) && !live.delete(one)) throw new Error(`${one} is gone`);
          }
          check(name, p, live);
        }
      }),
      { numRuns: 150 },
    );
  });
}

function check(name: Name, p: Pool['p'], live: ReadonlyMap<number, number>): void {
  const { strays, objects, usage, owns } = allocatorNamed(name);
  if (strays(p.b) !== 0) throw new Error('a page is where no reclaim finds it');
  if (objects(p.b) !== live.size) throw new Error('objects are miscounted');
  const found = usage(p.b, new Int32Array(4));
  if (found === null || found.linked * PAGE_SIZE !== totalSize(p.b)) throw new Error('pages are on no list');
  for (const [handle, length] of live) {
    if (!owns(p.b, handle, length)) throw new Error(`object ${handle} is not where it should be`);
    p.readLabel(p.b.location[handle], false);
    if (p.labelX !== 7 || p.labelSlot !== handle) throw new Error(`object ${handle} has another label`);
  }
}

t.test('without a list of pages there is no reclaim by pages', async (t) => {
  for (const name of ['zsmalloc', ...NAMES] as const) {
    t.equal(openObjects(allocatorNamed(name).create(65_536, 4)).pages, null);
    t.equal(allocatorNamed(name).lists, name !== 'zsmalloc');
  }
});
