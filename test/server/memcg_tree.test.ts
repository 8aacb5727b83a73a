// The observations of the kernel's own selftest of zswap cgroups, under its names, and a parent's limit under load.
import { join } from 'node:path';
import t from 'tap';
import { tempFolder } from '../support/tmp.ts';
import { startServer } from '../support/zswapd.ts';
import { MIB, writeSlots, wrongSlots } from '../system/durability/images.ts';

const BESIDE = 4096;
const SLOTS = 1000;

/** A server with an export per memcg path, and what its stats say of a memcg. */
async function startTree(t: Parameters<typeof startServer>[0], memcgs: object, ...paths: string[]) {
  const folder = tempFolder(t);
  const exports = paths.map((memcg, x) => ({ name: `s${x}`, size: '64MiB', image: join(folder, `s${x}.img`), memcg }));
  const server = await startServer(t, {
    exports,
    set: ['pool.max=256MiB', 'lanes=2', `memcgs=${JSON.stringify(memcgs)}`],
  });
  const memcg = async (name: string) => {
    const { memcgs: all } = await server.stats();
    return all.find((one: { name: string }) => one.name === name);
  };
  const connect = (x: number) => server.connect({ export: `s${x}` });
  return { server, memcg, connect };
}

t.test('test_zswap_usage and test_zswapin: what is stored is charged to its memcg and those above it', async (t) => {
  const { memcg, connect } = await startTree(t, {}, 'guests.slice/a', 'guests.slice/b');
  const client = await connect(0);
  await writeSlots(client, 0, 100);
  t.same(await wrongSlots(client, 0, 100), []);
  const [a, above, b] = [await memcg('guests.slice/a'), await memcg('guests.slice'), await memcg('guests.slice/b')];
  t.match(a, { zswpout: 100, zswpin: 100, zswapped: 100 * 4096, zswpwb: 0 });
  t.ok(a['zswap.current'] > 0);
  for (const [name, count] of Object.entries(a)) {
    if (name !== 'name' && name !== 'lru_pages') t.equal(above[name], count, name);
  }
  t.equal(b['zswap.current'], 0);
});

t.test('test_swapin_nozswap: no zswap when max is 0, also when it is that of a parent', async (t) => {
  const { server, memcg, connect } = await startTree(t, { p: { 'zswap.max': 0 } }, 'p/a');
  const client = await connect(0);
  await writeSlots(client, 0, 50);
  t.same(await wrongSlots(client, 0, 50), []);
  t.match(await memcg('p/a'), { 'zswap.current': 0, zswpout: 0, zswpin: 0 });
  t.match((await server.stats()).pool, { stored_pages: 0, reject_memcg_limit: 50, written_back_pages: 0 });
});

t.test('test_zswap_writeback_enabled, test_zswap_writeback_disabled: of a parent as of a memcg', async (t) => {
  const limit = { 'zswap.max': '256KiB' };
  const { memcg, connect } = await startTree(
    t,
    { p: { 'zswap.writeback': false }, 'p/off': limit, on: limit },
    'p/off',
    'on',
  );
  const [off, on] = [await connect(0), await connect(1)];
  await writeSlots(on, 0, SLOTS);
  const errors = await Promise.allSettled(Array.from({ length: SLOTS }, (_, i) => writeSlots(off, i, i + 1)));
  t.ok(
    errors.some(({ status }) => status === 'rejected'),
    'beyond its limit it may keep no page',
  );
  t.equal((await memcg('p/off')).zswpwb, 0);
  t.ok((await memcg('on')).zswpwb > 0);
  t.same(await wrongSlots(on, 0, SLOTS), []);
});

t.test("test_no_invasive_cgroup_shrink: a parent's limit holds, and who is beside it keeps its pages", async (t) => {
  const { memcg, connect } = await startTree(
    t,
    { p: { 'zswap.max': '1MiB' }, 'p/kept': { 'zswap.writeback': false } },
    'p/a',
    'p/b',
    'p/kept',
    'beside',
  );
  const [a, b, kept, beside] = await Promise.all([0, 1, 2, 3].map((x) => connect(x)));
  await writeSlots(kept, 0, 20);
  await writeSlots(beside, 0, 500);
  const before = [(await memcg('p/kept'))['zswap.current'], (await memcg('beside'))['zswap.current']];
  let writing = true;
  const pairs = [a, b].flatMap((client) => [0, SLOTS].map((first) => ({ client, first })));
  const done = Promise.all(pairs.map(({ client, first }) => writeSlots(client, first, first + SLOTS))).finally(() => {
    writing = false;
  });
  let most = 0;
  do most = Math.max(most, (await memcg('p'))['zswap.current']);
  while (writing);
  await done;
  t.ok(most <= MIB + BESIDE, `${most} bytes were charged, at most ${MIB + BESIDE} may be`);
  t.ok(most > MIB / 2, 'and it uses what it may');
  const after = await Promise.all(['p/kept', 'beside'].map((name) => memcg(name)));
  t.same(
    after.map((one) => one['zswap.current']),
    before,
  );
  t.same(
    after.map((one) => one.zswpwb),
    [0, 0],
  );
  t.ok((await memcg('p')).zswpwb > 0);
  const wrong = await Promise.all(pairs.map(({ client, first }) => wrongSlots(client, first, first + SLOTS)));
  t.same(wrong.flat(), []);
});
