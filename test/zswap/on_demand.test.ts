// Writeback of what is named, in the shrinker's thread: what it takes, where it stops, and what it answers.
import t, { type Test } from 'tap';
import { countOnDemand, limitLeft, limitWriteback, onDemandPages } from '#src/pool/export_accounts.js';
import { enter, STATE } from '#src/pool/export_state.js';
import { THREAD_MAIN } from '#src/pool/limits.js';
import { CELL, countOf } from '#src/pool/memcg.js';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import type { Outcome, Wanted } from '#src/zswap/wanted.js';
import { checkLists, makePage, take } from '../support/pool.ts';
import { type BenchOptions, ShrinkerBench } from '../support/shrinker_bench.ts';

const PAGE = 4096;
const FREE = { max: Number.POSITIVE_INFINITY, writeback: true };
const LONG_MS = 600_000;
const ALL = { x: 0, huge: false, unusedSince: null, slots: null };

interface Demands {
  readonly b: ShrinkerBench;
  readonly tree: MemcgTree;
  readonly begin: (wanted: Wanted, ms?: number) => { outcome: Outcome | null; end(): void };
  /** Slots of an export that are in the pool. */
  readonly stored: (x?: number) => number[];
}

/** Exports in `p/a`, `p/b` and `q`; of the first two `pages` raw pages, each in the tick of its slot. */
function bench(t: Test, pages: number, over: BenchOptions = {}): Demands {
  const homes = ['p/a', 'p/b', 'q'];
  const b = new ShrinkerBench(t, {
    buffers: 512,
    poolBytes: 2 ** 24,
    memcgs: homes.map((name) => ({ name, ...FREE })),
    exports: homes.map((name, x) => ({ name, pages: 2048, memcg: x })),
    ...over,
  });
  const { clock } = b.shared;
  for (const x of [0, 1]) {
    for (clock[0] = 0; clock[0] < pages; clock[0]++) b.write(clock[0], makePage('random', clock[0]), x);
  }
  const begin: Demands['begin'] = (wanted, ms = LONG_MS) => {
    const asked = { outcome: null as Outcome | null, end: (): void => end() };
    const end = b.shrinker.onDemand.begin(wanted, ms, (outcome) => {
      if (asked.outcome !== null) throw new Error('answered twice');
      asked.outcome = outcome;
    });
    return asked;
  };
  const stored = (x = 0): number[] =>
    Array.from({ length: pages }, (_, slot) => slot).filter((slot) => isStored(b, x, slot));
  return { b, tree: new MemcgTree(b.shared, THREAD_MAIN), begin, stored };
}

function isStored({ shared: { entries } }: ShrinkerBench, x: number, slot: number): boolean {
  return entries.slot.some((at, e) => at === slot && entries.volume[e] === x && (entries.generation[e] & 1) === 1);
}

/** Looks, and lets images finish with `errno`, until it is answered. */
function answer(b: ShrinkerBench, asked: { readonly outcome: Outcome | null }, errno = 0): Outcome {
  for (let i = 0; asked.outcome === null; i++) {
    if (i === 10_000) throw new Error('it does not come');
    b.look();
    for (const image of b.images) while (image.calls.length > 0) image.end(errno);
  }
  return asked.outcome;
}

const range = (first: number, end: number): number[] => Array.from({ length: end - first }, (_, i) => first + i);

t.test('pages of a range leave, of that export alone, and the others keep their order', async (t) => {
  const { b, begin, stored } = bench(t, 40);
  const asked = begin({
    ...ALL,
    slots: [
      [10, 20],
      [35, 36],
    ],
  });
  t.equal(asked.outcome, null, 'not answered by the call itself');
  t.equal(answer(b, asked), 'done');
  t.strictSame(
    stored(),
    range(0, 40).filter((slot) => !(slot >= 10 && slot < 20) && slot !== 35),
  );
  t.equal(stored(1).length, 40);
  const { lru, memcgs, entries } = b.shared;
  const order: number[] = [];
  for (let e = lru.head[memcgs.ofExport[0]]; e !== 0; e = entries.next[e]) order.push(entries.slot[e]);
  t.strictSame(order, stored());
  t.equal(b.count('asked_written_back'), 11);
  t.strictSame([onDemandPages(b.shared.accounts, 0), onDemandPages(b.shared.accounts, 1)], [11, 0]);
  for (const slot of [10, 35]) t.same(b.images[0].page(slot), makePage('random', slot));
  checkLists(b.shared);
});

t.test('it is answered when the image has the pages, and not before', async (t) => {
  const { b, begin } = bench(t, 4);
  const asked = begin(ALL);
  for (let i = 0; i < 20; i++) b.look();
  t.equal(asked.outcome, null);
  t.equal(answer(b, asked), 'done');
});

t.test('what was not used since a tick is idle, and a read ends that', async (t) => {
  const { b, begin, stored } = bench(t, 20);
  take(b.z, 3);
  t.equal(answer(b, begin({ ...ALL, unusedSince: 9 })), 'done');
  t.strictSame(stored(), [3, ...range(10, 20)]);
});

t.test('pages that are raw, and pages that are raw and idle', async (t) => {
  const { b, begin, stored } = bench(t, 10);
  b.write(2, makePage('text', 2));
  b.write(4, makePage('same', 4));
  t.equal(answer(b, begin({ ...ALL, huge: true, unusedSince: 5 })), 'done');
  t.strictSame(stored(), [2, 4, 6, 7, 8, 9]);
  t.equal(answer(b, begin({ ...ALL, huge: true })), 'done');
  t.strictSame(stored(), [2, 4]);
  t.equal(answer(b, begin(ALL)), 'done');
  t.strictSame(stored(), [4], 'a same-filled page has nothing to write back');
});

t.test('a warm page that is named goes as any other, whatever its second chance', async (t) => {
  const { b, begin, stored } = bench(t, 8, { heuristic: 'second-chance' });
  t.equal(answer(b, begin({ ...ALL, slots: [[5, 6]] })), 'done');
  t.strictSame(stored(), [0, 1, 2, 3, 4, 6, 7]);
});

t.test('a limit stops it where it is used up', async (t) => {
  const { b, begin, stored } = bench(t, 40);
  const { accounts } = b.shared;
  limitWriteback(accounts, 0, 15);
  t.equal(answer(b, begin(ALL)), 'limit');
  t.equal(stored().length, 25);
  t.equal(limitLeft(accounts, 0), 0);
  t.equal(answer(b, begin({ ...ALL, x: 1 })), 'done', 'that of one export');
  t.equal(
    answer(b, begin({ ...ALL, slots: [[0, 1]], huge: true })),
    'done',
    'nothing is there, and nothing is refused',
  );
  limitWriteback(accounts, 0, 25);
  t.equal(answer(b, begin(ALL)), 'done', 'as many as there are');
});

t.test('a budget stops it until its interval is over', async (t) => {
  const budget = { pages: 10, ticks: 100 };
  const homes = ['p/a', 'p/b'];
  const exports = homes.map((name, x) => ({ name, pages: 2048, memcg: x, budget }));
  const { b, begin, stored } = bench(t, 30, { exports });
  const { accounts, clock } = b.shared;
  countOnDemand(accounts, 0, budget, clock);
  t.equal(answer(b, begin(ALL)), 'budget');
  t.equal(stored().length, 21);
  clock[0] = 100;
  t.equal(answer(b, begin(ALL)), 'budget');
  t.equal(stored().length, 11);
});

t.test('pages in use stay, and are said so', async (t) => {
  const { b, begin, stored } = bench(t, 10);
  const r = b.z.slots.tryPin(0, 4);
  t.equal(answer(b, begin(ALL)), 'busy');
  t.strictSame(stored(), [4]);
  b.z.slots.unpin(r);
  t.equal(answer(b, begin(ALL)), 'done');
});

t.test('an image that fails is said so, and keeps nobody from the pages', async (t) => {
  const { b, begin } = bench(t, 5);
  t.equal(answer(b, begin(ALL), 5), 'failed');
  t.same(take(b.z, 3).page, makePage('random', 3));
});

t.test('memcgs that have writeback off keep their pages', async (t) => {
  const { b, tree, begin, stored } = bench(t, 10);
  tree.setWriteback('p', false);
  t.equal(answer(b, begin(ALL)), 'done');
  t.equal(stored().length, 10);
});

t.test('an export that is swapped off writes nothing back', async (t) => {
  const { b, begin, stored } = bench(t, 10);
  enter(b.shared.states, 0, STATE.STOPPING);
  enter(b.shared.states, 0, STATE.DRAINING);
  t.equal(answer(b, begin(ALL)), 'off');
  t.equal(stored().length, 10);
});

t.test('a page that is stored meanwhile at a number that was looked at is not taken for it', async (t) => {
  const { b, stored } = bench(t, 3);
  const { entries } = b.shared;
  const e = entries.slot.findIndex((slot, at) => at > 0 && slot === 1);
  const walk = (life: number, slot: number): number => {
    Object.assign(b.z.walk, { named: e, namedLife: life, namedX: 0, namedSlot: slot, next: 0 });
    return b.z.protocols.entry.shrinkOne(b.z, b.shared.memcgs.ofExport[0], b.z.protocols.busy);
  };
  t.not(walk(entries.generation[e] + 2, 1), 1, 'of another life');
  t.not(walk(entries.generation[e], 2), 1, 'of another slot');
  t.strictSame(stored(), [0, 1, 2]);
  t.equal(walk(entries.generation[e], 1), 1);
  t.strictSame(stored(), [0, 2]);
  checkLists(b.shared);
});

t.test('a stalled image ends it at its deadline, and who goes away ends it at once', async (t) => {
  let late: () => void = () => undefined;
  const never = { cancel: () => undefined };
  const loop = {
    soon: queueMicrotask,
    defer: (task: () => void) => void setImmediate(task),
    after: (_ms: number, task: () => void) => {
      late = task;
      return never;
    },
    every: () => never,
  };
  const { b, begin, stored } = bench(t, 60, { buffers: 16, loop });
  const asked = begin(ALL);
  for (let i = 0; i < 10; i++) b.look();
  t.equal(asked.outcome, null);
  late();
  t.equal(asked.outcome, 'time');
  t.ok(stored().length >= 40, 'no more than there were buffers');
  const other = begin(ALL);
  b.look();
  other.end();
  t.equal(other.outcome, 'time');
  other.end();
  for (let i = 0; i < 10; i++) b.look();
  t.equal(b.shrinker.onDemand.waits, false);
});

t.test('the oldest of a memcg and what is below it go, and none that is younger', async (t) => {
  const { b, tree, begin, stored } = bench(t, 64);
  const proactive = (path: string): number => countOf(b.shared.memcgs, tree.lookup(path), CELL.PROACTIVE) / PAGE;
  t.equal(answer(b, begin({ m: tree.lookup('p'), bytes: 20 * PAGE, unusedSince: 40 })), 'done');
  t.equal(stored().length + stored(1).length, 108);
  t.ok(stored().includes(33) && stored(1).includes(33), 'of those that are old enough the oldest');
  t.strictSame([proactive('p'), proactive('q')], [20, 0]);
  t.equal(answer(b, begin({ m: tree.lookup('p/b'), bytes: 64 * PAGE, unusedSince: 40 })), 'less');
  t.strictSame(stored(1), range(41, 64));
  t.equal(b.count('zswpwb_proactive_b'), proactive('p') * PAGE);
  t.equal(b.count('asked_written_back'), 0, 'a limit of the export is not for them');
  checkLists(b.shared);
});

t.test('an entry that is only being stored has fields of nobody, and is passed by', async (t) => {
  const { b, tree, begin, stored } = bench(t, 4);
  const { entries } = b.shared;
  const e = entries.slot.findIndex((slot, at) => at > 0 && slot === 1);
  // As what is freed is left under debug.oracle, until its next page is published.
  entries.volume[e] = 0xff;
  t.equal(answer(b, begin({ m: tree.lookup('p'), bytes: 8 * PAGE, unusedSince: 4 })), 'less');
  entries.volume[e] = 0;
  t.strictSame([stored(), stored(1)], [[1], []]);
});

t.test('where the image of one export is behind the other goes on, and what is left waits', async (t) => {
  const { b, tree, begin, stored } = bench(t, 40);
  const taken = b.takeBuffers(0);
  const asked = begin({ m: tree.lookup('p'), bytes: 60 * PAGE, unusedSince: 40 });
  for (let i = 0; i < 50; i++) {
    b.look();
    b.images[1].endAll();
  }
  t.strictSame([asked.outcome, stored().length, stored(1).length], [null, 40, 0]);
  for (const buffer of taken) b.z.givePage(buffer);
  t.equal(answer(b, asked), 'done');
  t.equal(stored().length, 20);
});
