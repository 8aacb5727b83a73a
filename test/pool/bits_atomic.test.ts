// Bits of 32 slots share a word, and threads change them at once: each change is one atomic operation. Also the ends of maps
// whose size is no multiple of a word, a tree or a slice, and of the largest export.
import t from 'tap';
import {
  clearBit,
  countBits,
  createBits,
  createCountedBits,
  findBit,
  setBit,
  setCount,
  setRange,
  testBit,
} from '#src/pool/bits.js';
import { EXPORT_BYTES_MAX, PAGE_SIZE } from '#src/pool/limits.js';
import { passing } from '../support/facade.ts';

const NEIGHBOUR = 6;
const SLOT = 37;

for (const [name, change, value] of [
  ['set', setBit, true],
  ['cleared', clearBit, false],
] as const) {
  t.test(`a bit is ${name} without touching what another thread does to its neighbour meanwhile`, async (t) => {
    for (const other of [setBit, clearBit]) {
      const bits = createBits([64]);
      if (!value) setBit(bits, 0, SLOT);
      if (other === clearBit) setBit(bits, 0, 32 + NEIGHBOUR);
      const before = bits.words[0][1];
      const ops = passing(
        () => change(bits, 0, SLOT),
        ({ op }) => op !== 'load' && other(bits, 0, 32 + NEIGHBOUR),
      ).map(({ op }) => op);
      t.strictSame(ops, ['load', value ? 'or' : 'and'], 'one look, and one operation that changes the word');
      t.equal(testBit(bits, 0, SLOT), value);
      t.equal(testBit(bits, 0, 32 + NEIGHBOUR), other === setBit);
      t.not(bits.words[0][1], before);
    }
  });

  t.test(`a bit that is ${name} already is only looked at`, async (t) => {
    const bits = createBits([64]);
    if (value) setBit(bits, 0, SLOT);
    t.strictSame(
      passing(() => change(bits, 0, SLOT)).map(({ op }) => op),
      ['load'],
    );
    t.equal(testBit(bits, 0, SLOT), value);
  });
}

for (const pages of [1, 31, 32, 33, 64, 500, 513, 16_385]) {
  t.test(`the last of ${pages} slots can be set, found, counted and cleared`, async (t) => {
    const bits = createCountedBits([pages, pages]);
    const last = pages - 1;
    setBit(bits, 0, last);
    t.ok(testBit(bits, 0, last));
    t.equal(findBit(bits, 0, 0, pages, true), last);
    t.equal(findBit(bits, 0, last, pages, true), last);
    t.equal(findBit(bits, 0, last, pages, false), pages, 'no slot behind the end is found');
    t.equal(countBits(bits, 0, pages), 1);
    t.equal(countBits(bits, 1, pages), 0, 'the other export has bits of its own');
    clearBit(bits, 0, last);
    t.equal(findBit(bits, 0, 0, pages, true), pages);
    setRange(bits, 0, 0, pages);
    t.equal(countBits(bits, 0, pages), pages);
    t.same([setCount(bits, 0), setCount(bits, 1)], [pages, 0]);
    t.equal(findBit(bits, 0, 0, pages, false), pages);
  });
}

t.test('a range sets its slots and none beside them, wherever it begins and ends', async (t) => {
  for (const [from, to] of [
    [0, 31],
    [0, 32],
    [1, 33],
    [31, 64],
    [32, 63],
    [33, 33],
    [5, 95],
  ]) {
    const bits = createBits([128]);
    setRange(bits, 0, from, to);
    const set = Array.from({ length: 128 }, (_, slot) => slot).filter((slot) => testBit(bits, 0, slot));
    t.strictSame(
      set,
      Array.from({ length: to - from }, (_, i) => from + i),
      `${from} to ${to}`,
    );
    t.equal(countBits(bits, 0, 128), to - from);
  }
});

t.test('the last slots of the largest export', async (t) => {
  const pages = EXPORT_BYTES_MAX / PAGE_SIZE;
  t.equal(pages, 2 ** 31);
  const bits = createBits([pages]);
  for (const slot of [pages - 1, pages - 33, 2 ** 30]) {
    setBit(bits, 0, slot);
    t.ok(testBit(bits, 0, slot));
    t.equal(findBit(bits, 0, slot - 40, pages, true), slot);
    clearBit(bits, 0, slot);
    t.notOk(testBit(bits, 0, slot));
  }
  setBit(bits, 0, pages - 1);
  t.equal(findBit(bits, 0, pages - 100, pages, true), pages - 1);
  t.equal(findBit(bits, 0, pages - 1, pages, false), pages);
  t.notOk(testBit(bits, 0, 0));
});

for (const [name, change, other] of [
  ['set', setBit, clearBit],
  ['cleared', clearBit, setBit],
] as const) {
  t.test(`a change is counted by the one who made it, whoever else has ${name} the bit meanwhile`, async (t) => {
    for (const at of ['load', 'or', 'and', 'add']) {
      for (const act of [change, other]) {
        const bits = createCountedBits([64]);
        setBit(bits, 0, 5);
        if (change === clearBit) setBit(bits, 0, SLOT);
        passing(
          () => change(bits, 0, SLOT),
          ({ op }) => op === at && act(bits, 0, SLOT),
        );
        t.equal(setCount(bits, 0), countBits(bits, 0, 64), `at ${at}`);
        for (const slot of [5, SLOT]) clearBit(bits, 0, slot);
        t.equal(setCount(bits, 0), 0);
      }
    }
  });
}

t.test('a change that is not counted yet shows no number below 0', async (t) => {
  const bits = createCountedBits([64]);
  const seen: number[] = [];
  passing(
    () => setBit(bits, 0, SLOT),
    ({ op }) => {
      if (op !== 'add') return;
      clearBit(bits, 0, SLOT);
      seen.push(setCount(bits, 0));
    },
  );
  t.same(seen, [0]);
  t.equal(setCount(bits, 0), 0);
});

t.test('all slots of the largest export are counted', async (t) => {
  const bits = createCountedBits([2 ** 31]);
  // As if all but three were set, which would take 256 MiB.
  if (bits.counts !== null) bits.counts[0] = 2 ** 31 - 3;
  for (const slot of [0, 31, 2 ** 31 - 1]) setBit(bits, 0, slot);
  t.equal(setCount(bits, 0), 2 ** 31);
  clearBit(bits, 0, 2 ** 31 - 1);
  t.equal(setCount(bits, 0), 2 ** 31 - 1);
});

t.test('what nobody counts can not be asked', async (t) => {
  t.throws(() => setCount(createBits([64]), 0), /not counted/);
});
