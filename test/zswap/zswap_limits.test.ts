// Limits: the pool's with its hysteresis, and the memcg's.
import t from 'tap';
import { poolTotal } from '#src/pool/allocator/index.js';
import { CTL } from '#src/pool/shared.js';
import { sum } from '#src/shm/counters.js';
import { C } from '#src/zswap/counters.js';
import { OVER_LIMIT, REJECTED, STORED } from '#src/zswap/store.js';
import { checkEmpty, checkLists, held, MIB, makePage, newZswap, put } from '../support/pool.ts';

t.test('a full pool rejects until its size is down at the accept threshold', async (t) => {
  const z = newZswap({ poolBytes: MIB, acceptBytes: MIB / 2 });
  let stored = 0;
  while (put(z, stored, makePage('random', stored)) === STORED) stored++;
  t.ok(stored >= 225, 'sixteen zspages of fifteen raw pages, the last one begun');
  t.equal(poolTotal(z.shared.zs), MIB);
  t.equal(z.shared.control[CTL.FULL], 1);
  t.equal(sum(z.shared.counters, C.reject_pool_limit), 1);
  let dropped = 0;
  while (poolTotal(z.shared.zs) > MIB / 2) {
    t.equal(put(z, 60_000, makePage('same', 1)), REJECTED);
    z.invalidate(0, dropped++);
  }
  t.ok(poolTotal(z.shared.zs) > 0);
  t.equal(put(z, 60_000, makePage('same', 1)), STORED);
  t.equal(z.shared.control[CTL.FULL], 0);
  t.equal(put(z, 60_001, makePage('random', 1)), STORED, 'and stays open above the threshold');
  for (let slot = 0; slot < stored; slot++) z.invalidate(0, slot);
  z.invalidate(0, 60_000);
  z.invalidate(0, 60_001);
  checkEmpty(t, z.shared);
});

t.test('a memcg at its limit asks for a shrink; `checked` stores anyway', async (t) => {
  const z = newZswap({ memcgs: [{ name: 'm', max: 2 * 4096, writeback: true }] });
  t.strictSame(
    [1, 2, 3].map((slot) => put(z, slot, makePage('random', slot))),
    [STORED, STORED, OVER_LIMIT],
  );
  t.equal(put(z, 3, makePage('same', 3)), OVER_LIMIT, 'looked at before the kind of page is known');
  t.equal(held(z.shared).charged, 2 * 4096);
  t.equal(put(z, 3, makePage('random', 3), 0, true), STORED);
  z.invalidate(0, 1);
  z.invalidate(0, 2);
  t.equal(put(z, 4, makePage('random', 4)), STORED);
});

t.test('a memcg with limit 0 stores nothing', async (t) => {
  const z = newZswap({ memcgs: [{ name: 'm', max: 0, writeback: true }] });
  t.equal(put(z, 1, makePage('text', 1)), REJECTED);
  t.equal(sum(z.shared.counters, C.reject_memcg_limit), 1);
  checkEmpty(t, z.shared);
});

t.test('each memcg is charged for the pages of its own exports', async (t) => {
  const z = newZswap({
    exports: [0, 1, 1].map((memcg, x) => ({ name: `${x}`, pages: 100, memcg })),
    memcgs: [0, 1].map((m) => ({ name: `${m}`, max: 2 * 4096, writeback: true })),
  });
  const results = [0, 1, 2, 0, 1].map((x, i) => put(z, i, makePage('random', i), x));
  t.strictSame(results, [STORED, STORED, STORED, STORED, OVER_LIMIT]);
  t.strictSame([...z.lru.charged.subarray(1, 3)], [8192, 8192]);
  checkLists(z.shared);
});
