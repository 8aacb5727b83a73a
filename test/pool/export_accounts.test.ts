// What is counted per export: memory of its objects, raw pages, and what may be written back on demand.
import t from 'tap';
import { footprintOf } from '#src/pool/allocator/index.js';
import { CLASSES, classOf } from '#src/pool/allocator/size_classes.js';
import {
  budgetLeft,
  countOnDemand,
  createAccounts,
  hugeSince,
  limitLeft,
  limitWriteback,
  memoryOf,
  onDemandPages,
} from '#src/pool/export_accounts.js';
import { makePage, newZswap, put } from '../support/pool.ts';

t.test('memory of an export comes and goes with its objects, and raw pages are counted for good', async (t) => {
  const exports = ['a', 'b'].map((name) => ({ name, pages: 256, memcg: 0 }));
  const z = newZswap({ exports });
  const { accounts, entries } = z.shared;
  put(z, 1, makePage('text', 1));
  put(z, 1, makePage('random', 1), 1);
  put(z, 2, makePage('random', 2), 1);
  put(z, 3, makePage('same', 3), 1);
  t.equal(memoryOf(accounts, 0), CLASSES.size[classOf(entries.length[1])]);
  t.equal(memoryOf(accounts, 1), 2 * CLASSES.size[classOf(4096)]);
  t.strictSame([hugeSince(accounts, 0), hugeSince(accounts, 1)], [0, 2]);
  put(z, 1, makePage('same', 1), 1);
  z.invalidate(1, 2);
  z.invalidate(0, 1);
  t.strictSame([memoryOf(accounts, 0), memoryOf(accounts, 1), hugeSince(accounts, 1)], [0, 0, 2]);
});

t.test('memory is what the allocator of the pool takes', async (t) => {
  const z = newZswap({ allocator: 'zbud' });
  const { accounts, entries, zs } = z.shared;
  put(z, 1, makePage('text', 1));
  const length = entries.length[1];
  t.equal(memoryOf(accounts, 0), footprintOf(zs, 1, length));
  t.not(footprintOf(zs, 1, length), CLASSES.size[classOf(length)], 'which differ');
  z.invalidate(0, 1);
  t.equal(memoryOf(accounts, 0), 0);
});

t.test('a limit counts down with each page, and without one there is none', async (t) => {
  const accounts = createAccounts(3);
  const clock = new Uint32Array(1);
  const written = (): void => countOnDemand(accounts, 1, undefined, clock);
  written();
  t.equal(limitLeft(accounts, 1), Number.POSITIVE_INFINITY);
  limitWriteback(accounts, 1, 2);
  written();
  t.equal(limitLeft(accounts, 1), 1);
  written();
  written();
  t.equal(limitLeft(accounts, 1), 0, 'never less');
  limitWriteback(accounts, 1, 5);
  t.strictSame([limitLeft(accounts, 1), limitLeft(accounts, 0)], [5, Number.POSITIVE_INFINITY]);
  t.strictSame([onDemandPages(accounts, 1), onDemandPages(accounts, 2)], [4, 0]);
});

t.test('a budget is whole again with each interval', async (t) => {
  const accounts = createAccounts(1);
  const clock = new Uint32Array(1);
  const budget = { pages: 3, ticks: 10 };
  const left = (): number => budgetLeft(accounts, 0, budget, clock);
  t.equal(left(), 3);
  for (const expected of [2, 1, 0]) {
    countOnDemand(accounts, 0, budget, clock);
    t.equal(left(), expected);
  }
  clock[0] = 9;
  t.equal(left(), 0);
  clock[0] = 10;
  t.equal(left(), 3, 'also before anything is written in it');
  countOnDemand(accounts, 0, budget, clock);
  t.equal(left(), 2);
  clock[0] = 35;
  t.equal(left(), 3);
  t.equal(budgetLeft(accounts, 0, undefined, clock), Number.POSITIVE_INFINITY);
});
