// swapoff of an export, step by step: what it asks of the image, what it waits for, and what an error leaves behind.
import t from 'tap';
import { clearBit, countBits, setBit, testBit } from '#src/pool/bits.js';
import { claimsHeld, release } from '#src/pool/claims.js';
import { POOL } from '#src/pool/counters.js';
import { STATE, stateOf } from '#src/pool/export_state.js';
import { Slots } from '#src/pool/slots.js';
import { isFreed, treeOf } from '#src/pool/tree.js';
import { C } from '#src/zswap/counters.js';
import { LOADED, ON_IMAGE } from '#src/zswap/loads.js';
import { swapon } from '#src/zswap/swapoff_op.js';
import type { Zswap } from '#src/zswap/zswap.js';
import { passing, type Seen } from '../support/facade.ts';
import { checkEmpty, makePage, put, standing, take } from '../support/pool.ts';
import { filled, SECOND_TREE } from '../support/swapoff_bench.ts';

const EIO = 5;

const state = (z: Zswap) => stateOf(z.shared.states, 0);
const used = (z: Zswap): number => countBits(z.shared.users, 0, z.settings.exports[0].pages);

t.test('slot 0 is copied first; then all is discarded, tree by tree, and punched', async (t) => {
  const host = filled(0, 5, 9, SECOND_TREE + 7);
  const z = host.zswap;
  host.swapoff();
  t.strictSame(host.asked, ['copy slot 0 of 0']);
  t.equal(state(z), STATE.SWAPPING_OFF);
  t.equal(take(z, 5).result, LOADED, 'nothing is discarded before the image has slot 0');
  host.answers(0);
  t.equal(state(z), STATE.PUNCHING);
  t.ok(isFreed(z.trees, treeOf(z.trees, 0, 5)));
  t.equal(used(z), 1, 'slot 0 stays in use');
  t.equal(take(z, 0).result, ON_IMAGE);
  host.answers(0).answers(0);
  t.strictSame(host.asked, [
    'copy slot 0 of 0',
    `punch ${SECOND_TREE + 7} to ${2 * SECOND_TREE - 1} of 0`,
    `punch 5 to ${SECOND_TREE - 1} of 0`,
  ]);
  t.strictSame(host.ended, [0]);
  t.equal(state(z), STATE.OFF);
  t.equal(claimsHeld(z.shared.claims), 0);
  checkEmpty(t, z.shared);
});

t.test('without slot 0 in the pool nothing is copied', async (t) => {
  const host = filled(5).swapoff();
  t.strictSame(host.asked, [`punch 5 to ${SECOND_TREE - 1} of 0`]);
});

t.test('with keep everything is copied, stays in use, and nothing is punched', async (t) => {
  const host = filled(1, 2, SECOND_TREE);
  const z = host.zswap;
  host.swapoff(true);
  t.equal(state(z), STATE.KEEPING);
  host.answers(0);
  t.strictSame(host.asked, ['copy all of 0']);
  t.strictSame(host.ended, [0]);
  t.equal(state(z), STATE.OFF);
  t.equal(used(z), 3);
  for (const slot of [1, 2, SECOND_TREE]) t.equal(take(z, slot).result, ON_IMAGE);
  checkEmpty(t, z.shared);
});

for (const keep of [true, false]) {
  t.test(
    `an image that fails the copy: the error, every page, and the export is on again (keep: ${keep})`,
    async (t) => {
      const host = filled(0, 1, 2);
      const z = host.zswap;
      host.swapoff(keep).answers(EIO);
      t.strictSame(host.ended, [EIO]);
      t.equal(host.asked.length, 1, 'nothing else is asked of the image');
      t.equal(state(z), STATE.SERVING);
      for (const slot of [0, 1, 2]) {
        const { result, page } = take(z, slot);
        t.equal(result, LOADED);
        t.ok(Buffer.from(page).equals(makePage('text', slot)));
      }
      put(z, 3, makePage('text', 3));
      t.equal(take(z, 3).result, LOADED);
    },
  );
}

t.test('a slot that was lost before is forgotten with the rest', async (t) => {
  const host = filled(5);
  const z = host.zswap;
  setBit(z.shared.lost, 0, 5);
  host.swapoff().answers(0);
  t.notOk(testBit(z.shared.lost, 0, 5));
  t.equal(z.counters[C.lost_pages], 0);
});

t.test('a write that is under way is waited for, before anything is copied', async (t) => {
  const host = filled(0, 1);
  const z = host.zswap;
  const r = z.slots.pin(0, 1);
  host.swapoff();
  t.ok(host.waits);
  t.strictSame(host.asked, []);
  t.ok(z.isSwappedOff(0), 'later writes are refused');
  host.wake();
  t.ok(host.waits, 'a wake-up for something else changes nothing');
  z.slots.unpin(r);
  host.wake();
  t.strictSame(host.asked, ['copy slot 0 of 0']);
});

t.test('READs that hand the pin to one another do not hold it up', async (t) => {
  const host = filled(0, 1);
  const z = host.zswap;
  const { users, claims, boxes } = z.shared;
  const readers = [3, 4].map((thread) => new Slots(z.slots.t, users, claims, boxes, thread));
  let r = readers[0].pinInTurn(0, 1);
  host.swapoff();
  for (let round = 0; host.waits; round++) {
    if (round === 4) return t.fail('it has not had its turn');
    const [holder, next] = round % 2 === 0 ? readers : [...readers].reverse();
    next.pinInTurn(0, 1);
    if (r > 0) holder.unpin(r);
    // Before the swapoff's thread looks, the next one has it, and the holder wants it again.
    r = next.pinInTurn(0, 1);
    holder.pinInTurn(0, 1);
    host.wake();
  }
  t.strictSame(host.asked, ['copy slot 0 of 0']);
});

t.test('a pin and a claim that come later are waited for by the slice and by the whole', async (t) => {
  const host = filled(0, 1);
  const z = host.zswap;
  host.swapoff();
  const r = z.slots.pin(0, 1);
  host.answers(0);
  t.ok(host.waits, 'for the pin of a reader');
  t.notOk(isFreed(z.trees, treeOf(z.trees, 0, 0)));
  t.ok(z.slots.tryPin(0, 2) < 0, 'its slice can not be pinned any more');
  z.slots.unpin(r);
  const row = standing(z.shared.claims, 0, 60_000, 60_001, 2);
  host.wake();
  t.ok(host.waits, 'for the range of a TRIM');
  t.notOk(isFreed(z.trees, treeOf(z.trees, 0, 0)));
  t.equal(state(z), STATE.SWAPPING_OFF);
  release(z.shared.claims, row, z.shared.boxes);
  host.wake();
  t.ok(isFreed(z.trees, treeOf(z.trees, 0, 0)));
  host.answers(0);
  t.strictSame(host.ended, [0]);
});

t.test('swapon: new trees, writes are taken', async (t) => {
  const host = filled(1);
  const z = host.zswap;
  host.swapoff().answers(0);
  swapon(z, 0);
  t.equal(state(z), STATE.SERVING);
  t.notOk(z.isSwappedOff(0));
  t.notOk(isFreed(z.trees, treeOf(z.trees, 0, 1)));
  put(z, 1, makePage('text', 2));
  t.equal(take(z, 1).result, LOADED);
});

t.test('a TRIM under way is waited for before it is noted what is in use: its punch may fail', async (t) => {
  const host = filled(600, 2000);
  const { shared } = host.zswap;
  const row = standing(shared.claims, 0, 600, 601, 2);
  clearBit(shared.users, 0, 600);
  host.swapoff();
  t.ok(host.waits);
  t.ok(testBit(shared.users, 0, 2000), 'nothing is discarded meanwhile');
  setBit(shared.users, 0, 600);
  setBit(shared.lost, 0, 600);
  release(shared.claims, row, shared.boxes);
  host.wake();
  t.strictSame(host.asked, ['punch 600 to 16383 of 0'], 'what the image has of the slot goes too');
});

const locksOf = (seen: Seen[], words: Int32Array): number =>
  seen.filter((one) => one.op === 'lock' && one.words === words).length;

t.test('locks are taken for what is there, not for every slot of a tree that holds something', async (t) => {
  const slots = Array.from({ length: 4 }, (_, tree) => tree * SECOND_TREE + 600 + 4000 * tree);
  const host = filled(...slots);
  const { shared } = host.zswap;
  const seen = passing(() => host.swapoff());
  t.equal(shared.counters[POOL.stored_pages], 0);
  t.ok(locksOf(seen, shared.slotTable.buckets) <= 4 * slots.length, 'buckets of the slot table');
  t.ok(locksOf(seen, shared.trees.words) <= 4 * slots.length, 'trees');
  for (const slot of slots) {
    t.notOk(testBit(shared.users, 0, slot));
    host.answers(0);
  }
  t.strictSame(host.ended, [0]);
  checkEmpty(t, shared);
});

t.test('a pin can not be taken between the look for it and the discard', async (t) => {
  const host = filled(5, 600, 20_000);
  const z = host.zswap;
  const other = new Slots(z.shared.slotTable, z.shared.users, z.shared.claims, z.shared.boxes, 3);
  const taken: number[] = [];
  let refused = 0;
  passing(
    () => host.swapoff(),
    ({ op, words }) => {
      if (op !== 'and' || words !== z.shared.users.words[0]) return;
      for (const slot of [5, 600, 20_000].filter((one) => testBit(z.shared.users, 0, one))) {
        const r = other.tryPin(0, slot);
        if (r > 0) {
          taken.push(slot);
          other.unpin(r);
        } else refused++;
      }
    },
  );
  t.equal(refused, 3, 'once for each, when its own bit was about to go');
  t.strictSame(taken, [600, 20_000, 20_000], 'those of slices whose turn had not come');
});

t.test('an entry at a slot that nobody uses is discarded all the same', async (t) => {
  const host = filled(600, 5000, 50_000);
  for (const slot of [5000, 50_000]) clearBit(host.zswap.shared.users, 0, slot);
  host.swapoff();
  t.strictSame(host.asked, ['punch 600 to 16383 of 0']);
  host.answers(0);
  t.strictSame(host.ended, [0]);
  checkEmpty(t, host.zswap.shared);
});
