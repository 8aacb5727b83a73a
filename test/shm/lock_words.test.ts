// What lock words hold while threads sleep on them, and who is woken: a wake-up that is lost costs half a second, so it is not
// seen by any result, only here.
import t, { type Test } from 'tap';
import { COLUMNS } from '#src/shm/counters.js';
import * as sync from '#src/shm/sync.js';
import { WAITS } from '#src/shm/waits.js';
import { notified } from '../support/facade.ts';
import { start } from '../support/pool_threads.ts';

const SELF = 7;
const WAITERS = 0x10000;
const stuck = (report: string): never => {
  throw new Error(report);
};
const words = () => new Int32Array(new SharedArrayBuffer(16));

t.beforeEach(() => sync.enterThread(SELF, stuck));

t.test('an unlock wakes one sleeper where one may sleep, and asks for nobody else', async (t) => {
  const shared = words();
  sync.lock(shared, 1);
  t.strictSame(
    notified(() => sync.unlock(shared, 1)),
    [],
  );
  shared[1] = SELF | WAITERS;
  const calls = notified(() => sync.unlock(shared, 1));
  t.strictSame([calls.length, calls[0].words === shared, calls[0].index, calls[0].count], [1, true, 1, 1]);
  t.equal(shared[1], 0);
});

/** Starts a thread that takes words[0] and keeps it; resolves when it sleeps on the lock. */
async function sleeper(shared: Int32Array, thread: number): Promise<{ ended: Promise<number> }> {
  const ended = start('hold', { words: shared }, thread);
  await changes(shared, 0, (value) => (value & WAITERS) !== 0);
  return { ended };
}

async function changes(shared: Int32Array, index: number, until: (value: number) => boolean): Promise<void> {
  for (let value = sync.load(shared, index); !until(value); value = sync.load(shared, index))
    await sync.changed(shared, index, value, 10);
}

async function release(t: Test, shared: Int32Array, holder: Promise<number>): Promise<void> {
  sync.store(shared, 1, 1);
  sync.notify(shared, 1);
  t.equal(await holder, 0);
}

t.test('who slept takes the lock with the mark of sleepers, because others may sleep still', async (t) => {
  const shared = words();
  sync.lock(shared, 0);
  const { ended } = await sleeper(shared, 42);
  t.equal(shared[0], SELF | WAITERS, 'the owner stays in the word');
  sync.unlock(shared, 0);
  await changes(shared, 2, (value) => value === 1);
  t.equal(shared[0], 42 | WAITERS);
  await release(t, shared, ended);
  t.equal(shared[0], 0);
});

t.test('a lock is taken only where it is free', async (t) => {
  const shared = words();
  shared[0] = 42;
  t.notOk(sync.tryLock(shared, 0));
  t.equal(shared[0], 42);
  sync.unlock(shared, 0);
  t.ok(sync.tryLock(shared, 0));
  t.equal(shared[0], SELF);
});

t.test('compare-and-swap, exchange, or, and, add answer what was there', async (t) => {
  const shared = words();
  shared[2] = 6;
  t.strictSame([sync.cas(shared, 2, 5, 1), shared[2]], [6, 6]);
  t.strictSame([sync.cas(shared, 2, 6, 1), shared[2]], [6, 1]);
  t.strictSame([sync.exchange(shared, 2, 12), shared[2]], [1, 12]);
  t.strictSame([sync.or(shared, 2, 3), shared[2]], [12, 15]);
  t.strictSame([sync.and(shared, 2, 9), shared[2]], [15, 9]);
  t.strictSame([sync.add(shared, 2, -4), shared[2]], [9, 5]);
});

t.test('a report of a wait names the word, and the owner where the word has one', async (t) => {
  sync.enterThread(SELF, stuck, 0);
  const shared = words();
  shared[1] = 0x100 | 9;
  t.throws(() => sync.retry(shared, 1, 0x109), { message: /^thread 7 waited 0 ms: word 1 stays 265$/ });
  sync.nameWords(shared, 'slot pin', 0xff);
  t.throws(() => sync.retry(shared, 1, 0x109), { message: /slot pin word 1 stays 265, held by thread 9$/ });
  const locked = words();
  locked[3] = 4 | WAITERS;
  sync.nameWords(locked, 'tree lock');
  t.throws(() => sync.lock(locked, 3), { message: /tree lock word 3 is held by thread 4$/ });
});

t.test('a word that has changed already is not waited for', async (t) => {
  const row = new Float64Array(COLUMNS);
  sync.enterThread(SELF, stuck, 0);
  sync.countWaits(row);
  sync.retry(words(), 0, 1);
  sync.countWaits(new Float64Array(COLUMNS));
  t.strictSame([row[WAITS.retries], row[WAITS.spins]], [1, 0]);
});

t.test('a step stalls for its microseconds, and no other step does', async (t) => {
  const waits: number[] = [];
  const real = Atomics.wait;
  Atomics.wait = ((_words: Int32Array, _index: number, _value: number, ms: number) => {
    waits.push(ms);
    return 'timed-out';
  }) as typeof Atomics.wait;
  t.teardown(() => {
    Atomics.wait = real;
    sync.setDelays(null);
  });
  sync.setDelays({ W1: 1500, W2: 0 });
  for (const label of ['W1', 'W2', 'W3']) sync.step(label);
  t.strictSame(waits, [1.5, 0]);
  sync.setDelays({});
  sync.step('W1');
  t.equal(waits.length, 2);
});
