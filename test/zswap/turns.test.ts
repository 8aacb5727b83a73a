// Turns of a lane: after so many slots everybody else gets one; what waits goes on in its order.
import t from 'tap';
import type { Loop } from '#src/os/loop.js';
import { Turns } from '#src/zswap/turns.js';

const SLOTS_PER_TURN = 512;

function bench() {
  const tasks: (() => void)[] = [];
  const loop = { defer: (task: () => void) => tasks.push(task) } as unknown as Loop;
  const turns = new Turns(loop);
  const done: string[] = [];
  /** Work in slices of `slots` each. */
  const work = (name: string, slices: number, slots: number, holds = false) => {
    let left = slices;
    const one = {
      resume(): void {
        while (left > 0 && turns.take(one, holds)) {
          left--;
          done.push(name);
          turns.spend(slots);
          // A slice ends in an order, and its answer goes on.
          return;
        }
      },
    };
    return one;
  };
  return { tasks, turns, done, work };
}

t.test('what fits a turn waits for none', async (t) => {
  const { tasks, done, work } = bench();
  const one = work('a', 3, 100);
  for (let i = 0; i < 3; i++) one.resume();
  t.strictSame([done, tasks], [['a', 'a', 'a'], []]);
});

t.test('beyond it, work waits for a later turn, a turn of work at a time, first come, first served', async (t) => {
  const { tasks, done, work } = bench();
  const all = ['a', 'b', 'c', 'd'].map((name) => work(name, 1, SLOTS_PER_TURN / 2));
  work('first', 1, SLOTS_PER_TURN).resume();
  for (const one of all) one.resume();
  t.strictSame(done, ['first']);
  t.equal(tasks.length, 1, 'one turn is asked for');
  tasks.shift()?.();
  t.strictSame(done, ['first', 'a', 'b']);
  t.equal(tasks.length, 1);
  tasks.shift()?.();
  t.strictSame(done, ['first', 'a', 'b', 'c', 'd']);
  t.equal(tasks.length, 0, 'and no more when nothing waits');
});

t.test('who comes while others wait stands behind them', async (t) => {
  const { tasks, turns, done, work } = bench();
  turns.spend(SLOTS_PER_TURN);
  work('a', 1, SLOTS_PER_TURN).resume();
  work('b', 1, 1).resume();
  tasks.shift()?.();
  t.strictSame(done, ['a']);
  work('c', 1, 1).resume();
  t.strictSame(done, ['a'], 'although b is small');
  tasks.shift()?.();
  t.strictSame(done, ['a', 'b', 'c']);
});

t.test('who holds what others wait for goes before all that hold nothing', async (t) => {
  const { tasks, turns, done, work } = bench();
  turns.spend(SLOTS_PER_TURN);
  for (const name of ['a', 'b']) work(name, 1, 1).resume();
  work('holder', 1, 1, true).resume();
  tasks.shift()?.();
  t.strictSame(done, ['holder', 'a', 'b']);
  work('c', 1, SLOTS_PER_TURN).resume();
  work('late holder', 1, 1, true).resume();
  t.strictSame(done.slice(3), ['c'], 'but not without a turn');
});
