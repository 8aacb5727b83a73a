// The kernel's fault attributes: what fails is decided by number, and the same seed decides the same.

import fc from 'fast-check';
import t from 'tap';
import { decides, drawn, keyOf, type When } from '#src/faults/decide.js';

const ALWAYS: When = { probability: 100, interval: 1, times: -1, space: 0, nth: null };
const failing = (when: Partial<When>, matches = 20, key = keyOf(1, 'a')): number[] =>
  Array.from({ length: matches }, (_, i) => i + 1).filter((n) => decides({ ...ALWAYS, ...when }, key, n));

t.test('without limits each match fails', async (t) => {
  t.strictSame(failing({}, 3), [1, 2, 3]);
});

t.test('an interval lets each so-manieth fail', async (t) => {
  t.strictSame(failing({ interval: 5 }), [5, 10, 15, 20]);
});

t.test('space is used up before anything fails, one less than it says, as in the kernel', async (t) => {
  t.strictSame(failing({ space: 1 }, 3), [1, 2, 3]);
  t.strictSame(failing({ space: 4 }, 6), [4, 5, 6]);
  t.strictSame(failing({ space: 4, interval: 2 }, 8), [5, 7], 'and then the interval begins');
});

t.test('nth is that match and no other, whatever the rest says', async (t) => {
  t.strictSame(failing({ nth: 7, interval: 5, space: 100, probability: 1e-6 }), [7]);
});

t.test('a probability is met to a few per cent, also a small one', async (t) => {
  const among = 200_000;
  for (const probability of [50, 1, 0.1]) {
    const wanted = (among * probability) / 100;
    const found = failing({ probability }, among).length;
    t.ok(Math.abs(found - wanted) < 5 * Math.sqrt(wanted), `${probability} %: ${found} of ${wanted}`);
  }
});

t.test('the same seed and id decide the same, and others do not', async (t) => {
  const when = fc.record({
    probability: fc.double({ min: 1e-6, max: 100, noNaN: true }),
    interval: fc.integer({ min: 1, max: 50 }),
    space: fc.integer({ min: 0, max: 50 }),
  });
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.string(), when, (seed, id, one) => {
      const twice = [1, 2].map(() => failing(one, 300, keyOf(seed, id)));
      return JSON.stringify(twice[0]) === JSON.stringify(twice[1]);
    }),
  );
  const half = { probability: 50 };
  t.notSame(failing(half, 64, keyOf(1, 'a')), failing(half, 64, keyOf(2, 'a')));
  t.notSame(failing(half, 64, keyOf(1, 'a')), failing(half, 64, keyOf(1, 'b')));
  t.notSame(failing(half, 64, keyOf(1, 'a')), failing(half, 64, keyOf(1 + 2 ** 40, 'a')), 'all of the seed counts');
});

t.test('draws of one match are apart from each other, and within their bounds', async (t) => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 1, max: 2 ** 40 }), fc.nat(100), (key, n, which) => {
      const value = drawn(key, n, which);
      return value >= 0 && value < 1;
    }),
  );
  const values = Array.from({ length: 1000 }, (_, i) => drawn(keyOf(1, 'a'), 1 + Math.floor(i / 10), i % 10));
  t.equal(new Set(values).size, 1000);
});
