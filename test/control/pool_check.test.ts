// GET /check: no verdict while anything is under way.
import t from 'tap';
import { poolCheck, shareRuns } from '#src/control/pool_check.js';
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
  shared.lru.charged[1]++;
  t.match(await poolCheck(shared, 0), {
    quiescent: true,
    ok: false,
    problems: [/^bytes on the list of m: \d+, not \d+$/],
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

t.test('however many ask for a check, those who ask before it begins share it', async (t) => {
  let runs = 0;
  let end: (run: number) => void = () => undefined;
  const check = shareRuns(() => {
    runs++;
    return new Promise<number>((resolve) => {
      end = resolve;
    });
  });
  const first = Array.from({ length: 1000 }, check);
  t.equal(runs, 0);
  while (runs < 1) await new Promise((resolve) => setImmediate(resolve));
  const later = Array.from({ length: 1000 }, check);
  end(1);
  t.same(new Set(await Promise.all(first)), new Set([1]));
  while (runs < 2) await new Promise((resolve) => setImmediate(resolve));
  end(2);
  t.same(new Set(await Promise.all(later)), new Set([2]));
  t.equal(runs, 2);
});

t.test('a check that fails is no obstacle to the next', async (t) => {
  let runs = 0;
  const check = shareRuns(async () => {
    if (runs++ === 0) throw new Error('no');
    return runs;
  });
  await t.rejects(check(), /no/);
  t.equal(await check(), 2);
});
