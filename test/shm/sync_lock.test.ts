// Locks and retries between real threads. A bound of none stands where a thread has to start first: how long that takes is
// for the machine to say.
import t from 'tap';
import { COLUMNS } from '#src/shm/counters.js';
import * as sync from '#src/shm/sync.js';
import { WAITS } from '#src/shm/waits.js';
import { start, startAll } from '../support/pool_threads.ts';

const words = () => new Int32Array(new SharedArrayBuffer(16));

t.test('three threads add to a plain word under one lock, and no addition is lost', async (t) => {
  const shared = words();
  const rounds = 100_000;
  await startAll('lock', [2, 3, 4], { words: shared, rounds });
  t.equal(shared[1], 3 * rounds);
  t.equal(shared[0], 0, 'the lock is free');
});

t.test('the lock word names its owner, and tryLock does not wait', async (t) => {
  const shared = words();
  sync.enterThread(77, (report) => {
    throw new Error(report);
  });
  t.ok(sync.tryLock(shared, 0));
  t.equal(shared[0], 77);
  t.notOk(sync.tryLock(shared, 0));
  sync.unlock(shared, 0);
  t.ok(sync.tryLock(shared, 0));
});

t.test('a lock held too long is reported with its owner', async (t) => {
  const shared = words();
  const holder = start('hold', { words: shared }, 42);
  while (sync.load(shared, 2) === 0) await sync.changed(shared, 2, 0, 1000);
  let said = '';
  sync.enterThread(
    7,
    (report) => {
      said = report;
      throw new Error(report);
    },
    500,
  );
  t.throws(() => sync.lock(shared, 0), /held by thread 42/);
  t.match(said, /^thread 7 waited 500 ms/);
  sync.store(shared, 1, 1);
  sync.notify(shared, 1);
  await holder;
});

t.test('a retry ends when the word changes, and is reported when it never does', async (t) => {
  const shared = words();
  sync.enterThread(
    7,
    (report) => {
      throw new Error(report);
    },
    20,
  );
  t.throws(() => sync.retry(shared, 0, 0), /word 0 stays 0/);
  sync.enterThread(
    7,
    (report) => {
      throw new Error(report);
    },
    Number.POSITIVE_INFINITY,
  );
  const changer = start('change', { words: shared });
  sync.retry(shared, 0, 0);
  t.equal(shared[0], 7);
  await changer;
});

t.test('what a thread waits is counted, and a free lock costs no count', async (t) => {
  const row = new Float64Array(COLUMNS);
  const counted = () => [WAITS.lock_waits, WAITS.spins, WAITS.retries].map((column) => row[column]);
  const shared = words();
  const stuck = (report: string): never => {
    throw new Error(report);
  };
  sync.enterThread(7, stuck, 20);
  sync.countWaits(row);
  sync.lock(shared, 0);
  t.same(counted(), [0, 0, 0]);
  t.throws(() => sync.lock(shared, 0), /held by thread 7/);
  t.same(counted(), [1, 64, 0], 'a lock is looked at 64 times before the thread sleeps on it');
  t.throws(() => sync.retry(shared, 1, 0), /word 1 stays 0/);
  t.same(counted(), [1, 128, 1]);
  sync.countWaits(new Float64Array(COLUMNS));
});

t.test('the report of a stuck wait names the last delayed step', async (t) => {
  sync.enterThread(
    7,
    (report) => {
      throw new Error(report);
    },
    20,
  );
  sync.setDelays({ W1: 1 });
  sync.step('W1');
  t.throws(() => sync.retry(words(), 0, 0), /last step W1/);
  sync.setDelays(null);
});
