// Bitmaps against a Set.
import fc from 'fast-check';
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

const SLOTS = 200;
const slot = fc.nat(SLOTS - 1);

t.test('setting and clearing bits agrees with a Set', async () => {
  fc.assert(
    fc.property(fc.array(fc.record({ on: fc.boolean(), x: fc.nat(1), slot })), (commands) => {
      const bits = createCountedBits([SLOTS, SLOTS]);
      const truth = new Set<string>();
      for (const { on, x, slot } of commands) {
        if (on) setBit(bits, x, slot);
        else clearBit(bits, x, slot);
        if (on) truth.add(`${x}:${slot}`);
        else truth.delete(`${x}:${slot}`);
      }
      for (const x of [0, 1]) {
        if (setCount(bits, x) !== countBits(bits, x, SLOTS))
          throw new Error(`${setCount(bits, x)} are counted of ${x}`);
        for (let s = 0; s < SLOTS; s++)
          if (testBit(bits, x, s) !== truth.has(`${x}:${s}`)) throw new Error(`${x}:${s}`);
      }
    }),
  );
});

t.test('findBit finds the first slot of either value, or the end', async () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(slot, slot)), slot, slot, fc.boolean(), (ranges, from, to, value) => {
      const bits = createCountedBits([SLOTS]);
      const truth = new Array<boolean>(SLOTS).fill(false);
      for (const [first, end] of ranges) {
        setRange(bits, 0, first, end);
        if (first < end) truth.fill(true, first, end);
      }
      for (let s = 0; s < SLOTS; s++) if (testBit(bits, 0, s) !== truth[s]) throw new Error(`setRange: ${s}`);
      if (countBits(bits, 0, SLOTS) !== truth.filter(Boolean).length) throw new Error('countBits');
      if (setCount(bits, 0) !== countBits(bits, 0, SLOTS)) throw new Error(`${setCount(bits, 0)} are counted`);
      const at = truth.findIndex((bit, s) => s >= from && s < to && bit === value);
      const found = findBit(bits, 0, from, to, value);
      if (found !== (at === -1 ? to : at)) throw new Error(`found ${found}, not ${at}`);
    }),
    { numRuns: 500 },
  );
});

t.test('the slots at the ends of a word and of the map', async (t) => {
  const bits = createBits([64]);
  for (const s of [0, 31, 32, 63]) setBit(bits, 0, s);
  t.strictSame(
    Array.from({ length: 64 }, (_, s) => s).filter((s) => testBit(bits, 0, s)),
    [0, 31, 32, 63],
  );
  t.equal(findBit(bits, 0, 33, 64, true), 63);
  clearBit(bits, 0, 31);
  t.equal(findBit(bits, 0, 1, 64, true), 32);
});
