// Waiting for a pin, as writeback of older kernels does: when there is nothing to wait for, and what a store tells who waits.
import t from 'tap';
import { release } from '#src/pool/claims.js';
import { EEXIST, type Slots } from '#src/pool/slots.js';
import { chooseProtocols } from '#src/protocols/index.js';
import { OVER_LIMIT, STORED, store } from '#src/zswap/store.js';
import { Zswap } from '#src/zswap/zswap.js';
import { passing } from '../support/facade.ts';
import { makePage, NEWEST, newZswap, standing } from '../support/pool.ts';

/** Who holds a pin, in the word that says so. */
const HOLDER_MASK = 0xff;

/** Two threads; the second one waits. */
function two() {
  const owner = newZswap();
  const waiter = new Zswap(owner.shared, chooseProtocols(NEWEST), 1);
  return { owner, slots: owner.slots, waiter: waiter.slots };
}

/** What waitUnpinned answers for slot 5, and the word and value that it waited on. */
function wait(slots: Slots): { answer: boolean; waited: number[] } {
  let answer = false;
  const seen = passing(() => {
    answer = slots.waitUnpinned(0, 5);
  });
  return { answer, waited: seen.filter(({ op }) => op === 'retry').map(({ index }) => index) };
}

t.test('a pin without its page is waited for', async (t) => {
  const { slots, waiter } = two();
  const r = slots.pin(0, 5);
  t.strictSame(wait(waiter), { answer: true, waited: [r] });
  slots.unpin(r);
  t.strictSame(wait(waiter), { answer: true, waited: [] }, 'a pin that is gone is not');
});

t.test('a pin that has its page is not, nor one of a slot that is being written back', async (t) => {
  const { slots, waiter } = two();
  const r = slots.pin(0, 5);
  slots.fill(r);
  t.equal(slots.t.locked[r] & HOLDER_MASK, 3, 'who holds it stays in the word');
  t.strictSame(wait(waiter), { answer: false, waited: [] });
  slots.unpin(r);
  const again = slots.pin(0, 5);
  t.strictSame(wait(waiter).waited, [again], 'the mark goes with the pin');
  slots.attachPage(again, 1);
  t.strictSame(wait(waiter), { answer: false, waited: [] });
});

t.test('a slot in a claimed range is not waited for: its owner may be waiting for us', async (t) => {
  const { owner, slots, waiter } = two();
  const r = slots.pin(0, 5);
  const row = standing(owner.shared.claims, 0, 0, 10, 2);
  t.strictSame(wait(waiter), { answer: false, waited: [] });
  release(owner.shared.claims, row, owner.shared.boxes);
  t.strictSame(wait(waiter).waited, [r]);
});

t.test('a store says that its page is there once it is past the limits, where writeback waits for pins', async (t) => {
  const memcgs = [{ name: 'm', max: 4096, writeback: true }];
  const { shared } = newZswap({ memcgs });
  for (const [busy, filled] of [
    ['none', true],
    ['skip-eexist', false],
  ] as const) {
    const z = new Zswap(shared, chooseProtocols({ ...NEWEST, busy }), 2);
    const storeOne = (checked: boolean): [number, boolean] => {
      const r = z.slots.pin(0, 5);
      const result = store(z, 0, 5, makePage('random', 5), 0, checked, r);
      const has = (z.slots.t.locked[r] & ~HOLDER_MASK) !== 0;
      z.slots.unpin(r);
      return [result, has];
    };
    t.strictSame(storeOne(false), [STORED, filled], busy);
    t.strictSame(storeOne(false), [OVER_LIMIT, false], 'its reclaim may pick this very slot');
    t.strictSame(storeOne(true), [STORED, filled]);
    z.invalidate(0, 5);
  }
});

t.test('a pin of somebody else’s is EEXIST, with or without its page', async (t) => {
  const { slots, waiter } = two();
  const r = slots.pin(0, 5);
  t.equal(waiter.tryPin(0, 5), EEXIST);
  slots.fill(r);
  t.equal(waiter.tryPin(0, 5), EEXIST);
  slots.unpin(r);
  t.ok(waiter.tryPin(0, 5) > 0);
});
