// What the main thread keeps for the files of /block: the clock, marks of idle pages, limits, the most memory.
import t from 'tap';
import type { Loop } from '#src/os/loop.js';
import { limitLeft } from '#src/pool/export_accounts.js';
import { BlockControl } from '#src/server/block_control.js';
import type { ToShrinker } from '#src/server/messages.js';
import { ShrinkerAsks } from '#src/server/shrinker_asks.js';
import { makePage, newZswap, put } from '../support/pool.ts';

const IDLE = { huge: false, idle: true, slots: null };
const signal = (): AbortSignal => new AbortController().signal;

function controlled() {
  const exports = ['a', 'b'].map((name) => ({ name, pages: 256, memcg: 0 }));
  const z = newZswap({ exports });
  const sent: ToShrinker[] = [];
  const never = (): never => {
    throw new Error('nothing is put off');
  };
  let tick = never as () => void;
  let now = 5_000_000;
  const loop: Loop = {
    soon: never,
    defer: never,
    after: never,
    every: (_, task) => {
      tick = task;
      return { cancel: () => undefined };
    },
  };
  const asks = new ShrinkerAsks((message) => sent.push(message));
  const blocks = new BlockControl(z.shared, loop, asks, () => now);
  /** Lets time go on, and the timer look. */
  const pass = (ms: number): void => {
    now += ms;
    tick();
  };
  return { z, sent, asks, blocks, pass };
}

t.test('the clock is the time since the start, also where the thread was kept from its timer', async (t) => {
  const { z, pass } = controlled();
  pass(250);
  t.equal(z.shared.clock[0], 1);
  pass(249);
  t.equal(z.shared.clock[0], 1);
  pass(60_001);
  t.equal(z.shared.clock[0], 242);
});

t.test('"up to now" is answered with the next tick, and takes in all of the one that it was asked in', async (t) => {
  const { sent, blocks, pass } = controlled();
  pass(2000);
  let marked = false;
  const mark = blocks.markIdle(0, 0).then(() => {
    marked = true;
  });
  pass(100);
  await new Promise(setImmediate);
  t.equal(marked, false, 'the tick is not over');
  pass(150);
  await mark;
  void blocks.writeback(0, IDLE, signal());
  t.match(sent, [{ type: 'writeBack', wanted: { x: 0, huge: false, slots: null, unusedSince: 8 } }]);
});

t.test('an age marks what was not used for so long, and takes the place of the mark before', async (t) => {
  const { sent, asks, blocks, pass } = controlled();
  pass(100_000);
  await blocks.markIdle(1, 10);
  void blocks.writeback(1, IDLE, signal());
  await blocks.markIdle(1, 20);
  asks.answered({ type: 'wroteBack', id: 1, outcome: 'done' });
  await new Promise(setImmediate);
  void blocks.writeback(1, IDLE, signal());
  t.match(sent, [{ wanted: { unusedSince: 400 - 41 } }, { wanted: { unusedSince: 400 - 81 } }]);
  t.equal(await blocks.writeback(0, IDLE, signal()), 'done', 'of another export nothing is idle');
  t.equal(sent.length, 2);
});

t.test('one writeback of an export at a time', async (t) => {
  const { sent, asks, blocks } = controlled();
  const all = { huge: false, idle: false, slots: null };
  const first = blocks.writeback(0, all, signal());
  t.equal(await blocks.writeback(0, all, signal()), 'crowded');
  const other = blocks.writeback(1, all, signal());
  asks.answered({ type: 'wroteBack', id: 1, outcome: 'limit' });
  asks.answered({ type: 'wroteBack', id: 2, outcome: 'done' });
  t.strictSame(await Promise.all([first, other]), ['limit', 'done']);
  void blocks.writeback(0, all, signal());
  t.equal(sent.length, 3);
});

t.test('a limit is in force while it is enabled, and stays what it was while it is not', async (t) => {
  const { z, blocks } = controlled();
  const { accounts } = z.shared;
  t.strictSame([blocks.limit(0), blocks.limitEnabled(0)], [0, false]);
  blocks.setLimit(0, 7);
  t.strictSame([blocks.limit(0), limitLeft(accounts, 0)], [7, Number.POSITIVE_INFINITY]);
  blocks.enableLimit(0, true);
  t.strictSame([blocks.limit(0), limitLeft(accounts, 0), blocks.limitEnabled(0)], [7, 7, true]);
  // As the shrinker's thread counts a page.
  accounts.demand[0] += 3;
  t.equal(blocks.limit(0), 4);
  blocks.enableLimit(0, true);
  t.equal(blocks.limit(0), 4, 'enabled once more');
  blocks.enableLimit(0, false);
  accounts.demand[0] += 3;
  t.strictSame([blocks.limit(0), limitLeft(accounts, 0)], [4, Number.POSITIVE_INFINITY]);
  blocks.setLimit(0, 9);
  blocks.enableLimit(0, true);
  t.strictSame([blocks.limit(0), limitLeft(accounts, 0), limitLeft(accounts, 1)], [9, 9, Number.POSITIVE_INFINITY]);
  blocks.setLimit(0, 1);
  t.equal(limitLeft(accounts, 0), 1);
});

t.test('the most memory is what was seen, until it is reset', async (t) => {
  const { z, blocks, pass } = controlled();
  put(z, 1, makePage('random', 1));
  put(z, 2, makePage('random', 2));
  pass(250);
  const two = blocks.memoryMax(0);
  t.ok(two >= 8192);
  z.invalidate(0, 1);
  t.equal(blocks.memoryMax(0), two);
  blocks.resetMemoryMax(0);
  t.equal(blocks.memoryMax(0), two / 2);
  t.equal(blocks.memoryMax(1), 0);
});
