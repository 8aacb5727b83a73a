// When an entry was used last, and that the clock may wrap.
import t from 'tap';
import { AGE_MAX, ageOf, tickBefore, touch, unusedSince } from '#src/pool/access_time.js';
import { makePage, newZswap, pinned, put, take } from '../support/pool.ts';

t.test('a store and a load from the pool are uses, and nothing else is', async (t) => {
  const z = newZswap();
  const { clock, entries } = z.shared;
  clock[0] = 5;
  put(z, 1, makePage('text', 1));
  t.equal(entries.accessed[1], 5);
  clock[0] = 9;
  pinned(z, 0, 1, () => z.protocols.entry.load(z, 0, 1, new Uint8Array(4096)));
  t.equal(entries.accessed[1], 5, 'a copy for a FLUSH or a drain is none');
  take(z, 1);
  t.equal(entries.accessed[1], 9);
  clock[0] = 11;
  put(z, 2, makePage('same', 7));
  take(z, 2);
  t.equal(entries.accessed[2], 11, 'of a page without an object too');
});

t.test('what was used in a tick or before it is unused since, and what was used later is not', async (t) => {
  const clock = new Uint32Array([100]);
  const entries = { accessed: new Uint32Array([0, 40, 41, 100]) };
  const since = tickBefore(clock, 60);
  t.equal(since, 40);
  t.strictSame(
    [1, 2, 3].map((e) => unusedSince(clock, entries, e, since)),
    [true, false, false],
  );
  clock[0] = 5000;
  t.equal(unusedSince(clock, entries, 2, since), false, 'also when time has gone on');
});

t.test('ages go on over the end of the clock', async (t) => {
  const clock = new Uint32Array([AGE_MAX - 1]);
  const entries = { accessed: new Uint32Array(3) };
  touch(clock, entries, 1);
  clock[0] += 10;
  t.equal(clock[0], 8);
  touch(clock, entries, 2);
  t.equal(ageOf(clock, entries.accessed[1]), 10);
  t.strictSame(
    [unusedSince(clock, entries, 1, tickBefore(clock, 10)), unusedSince(clock, entries, 2, tickBefore(clock, 10))],
    [true, false],
  );
});

t.test('an age from before the start is that of no page', async (t) => {
  const clock = new Uint32Array([7]);
  const entries = { accessed: new Uint32Array([0, 0]) };
  for (const age of [8, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
    const since = tickBefore(clock, age);
    t.equal(unusedSince(clock, entries, 1, since), false, String(age));
  }
});
