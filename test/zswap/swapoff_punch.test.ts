// The end of a swapoff: the image forgets what was stored, or is asked again.
import t from 'tap';
import { countBits, testBit } from '#src/pool/bits.js';
import { STATE, stateOf } from '#src/pool/export_state.js';
import { C } from '#src/zswap/counters.js';
import { LOAD_FAILED, LOADED } from '#src/zswap/loads.js';
import { swapon } from '#src/zswap/swapoff_op.js';
import type { Zswap } from '#src/zswap/zswap.js';
import { passing } from '../support/facade.ts';
import { checkEmpty, makePage, put, take } from '../support/pool.ts';
import { filled, SECOND_TREE } from '../support/swapoff_bench.ts';

const EIO = 5;
const state = (z: Zswap) => stateOf(z.shared.states, 0);
const used = (z: Zswap): number => countBits(z.shared.users, 0, z.settings.exports[0].pages);

t.test('a failed punch: what the slots held is lost, not old', async (t) => {
  const host = filled(5, 9);
  const z = host.zswap;
  host.swapoff().answers(EIO);
  t.strictSame(host.ended, [EIO]);
  t.equal(state(z), STATE.OFF, 'it is off all the same');
  t.equal(z.counters[C.lost_pages], 2);
  for (const slot of [5, 9]) t.equal(take(z, slot).result, LOAD_FAILED);
  t.notOk(testBit(z.shared.lost, 0, 6));
  swapon(z, 0);
  t.equal(take(z, 5).result, LOAD_FAILED, 'also after swapon');
  put(z, 5, makePage('text', 55));
  t.equal(take(z, 5).result, LOADED, 'until it is written');
});

t.test(
  'a READ beside a refused punch finds its slot unused or lost, never with the old bytes of the image',
  async (t) => {
    const host = filled(5);
    const { shared } = host.zswap;
    host.swapoff();
    const seen = passing(
      () => host.answers(EIO),
      () => {
        if (testBit(shared.users, 0, 5)) t.ok(testBit(shared.lost, 0, 5), 'in use, and lost already');
      },
    );
    t.ok(seen.some(({ words }) => words === shared.users.words[0]));
    t.ok(testBit(shared.users, 0, 5));
  },
);

t.test('what the image refused to forget can be asked for again, and nothing else is', async (t) => {
  const host = filled(5, 9, SECOND_TREE + 7);
  const z = host.zswap;
  host.swapoff().answers(0).answers(EIO);
  t.strictSame(host.ended, [EIO]);
  t.equal(z.counters[C.lost_pages], 2);
  host.asked.length = 0;
  host.again();
  t.equal(state(z), STATE.PUNCHING);
  host.answers(EIO);
  t.equal(state(z), STATE.OFF);
  t.equal(z.counters[C.lost_pages], 2, 'a page is lost once');
  t.equal(take(z, 9).result, LOAD_FAILED);
  host.again().answers(0);
  t.strictSame(host.asked, Array(2).fill(`punch 5 to ${SECOND_TREE - 1} of 0`));
  t.strictSame(host.ended, [EIO, EIO, 0]);
  t.equal(used(z), 0);
  t.equal(countBits(z.shared.lost, 0, z.settings.exports[0].pages), 0);
  t.equal(state(z), STATE.OFF);
  checkEmpty(t, z.shared);
});

t.test('where the first slices hold nothing, a failed punch loses what the others held', async (t) => {
  const host = filled(600, 2000);
  const z = host.zswap;
  host.swapoff();
  t.strictSame(host.asked, ['punch 600 to 16383 of 0']);
  host.answers(EIO);
  t.equal(z.counters[C.lost_pages], 2);
  for (const slot of [600, 2000]) t.ok(testBit(z.shared.lost, 0, slot));
});
