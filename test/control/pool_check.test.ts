// GET /check: no verdict while anything is under way.
import t from 'tap';
import { poolCheck } from '#src/control/pool_check.js';
import { createShared } from '#src/pool/shared.js';
import { chooseProtocols } from '#src/protocols/index.js';
import { Zswap } from '#src/zswap/zswap.js';
import { makePage, NEWEST, poolSettings, put } from '../support/pool.ts';

t.test('a pinned slot is no verdict, and the pin is named; without it the pool is checked', async (t) => {
  const shared = createShared(poolSettings());
  const zswap = new Zswap(shared, chooseProtocols(NEWEST), 2);
  for (let slot = 0; slot < 9; slot++) put(zswap, slot, makePage('text', slot));
  const r = zswap.slots.pin(0, 77);
  t.match(await poolCheck(shared, 0), { quiescent: false, ok: false, problems: [], busy: { pins: 1 } });
  zswap.slots.unpin(r);
  t.match(await poolCheck(shared, 0), { quiescent: true, ok: true, problems: [], entries: { alive: 9, in_trees: 9 } });
});

t.test('a sum that does not agree is a verdict', async (t) => {
  const shared = createShared(poolSettings());
  const zswap = new Zswap(shared, chooseProtocols(NEWEST), 2);
  put(zswap, 0, makePage('text', 0));
  shared.lru.charged[0]++;
  t.match(await poolCheck(shared, 0), {
    quiescent: true,
    ok: false,
    problems: [/^zswap\.current of m: \d+, not \d+$/],
  });
});

t.test('what is over by the next look is waited for', async (t) => {
  const shared = createShared(poolSettings());
  const zswap = new Zswap(shared, chooseProtocols(NEWEST), 2);
  const r = zswap.slots.pin(0, 1);
  setImmediate(() => zswap.slots.unpin(r));
  t.match(await poolCheck(shared, 60_000), { quiescent: true, ok: true });
});

t.test('a list that changed while it was looked at is looked at again', async (t) => {
  const whole = createShared(poolSettings());
  const zswap = new Zswap(whole, chooseProtocols(NEWEST), 2);
  for (let slot = 0; slot < 9; slot++) put(zswap, slot, makePage('text', slot));
  let changes = 2;
  const unlinked = new Proxy(whole.lru.unlinked, {
    get: (column, key) => (key === '0' && changes > 0 ? -changes-- : Reflect.get(column, key, column)),
  });
  const shared = { ...whole, lru: { ...whole.lru, unlinked } };
  t.match(
    await poolCheck(shared, 0),
    { quiescent: false, ok: false, problems: [] },
    'no verdict when the time is over',
  );
  changes = 2;
  t.match(await poolCheck(shared, 60_000), { quiescent: true, ok: true, entries: { on_lru: 9 } });
});
