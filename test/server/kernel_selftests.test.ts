// What the kernel's own selftest for zswap cgroups (tools/testing/selftests/cgroup/test_zswap.c) observes, observed here by the
// same names: a cgroup is an export's memcg, and swapping out and in are WRITEs and READs of its slots.
import t, { type Test } from 'tap';
import { getFile, memoryStat, setFile } from '../support/control_files.ts';
import { tempFolder } from '../support/tmp.ts';
import { type RunningServer, startServer } from '../support/zswapd.ts';
import { writeSlots, wrongSlots } from '../system/durability/images.ts';

const PAGES = 1024;
/** Fewer bytes than the pages take; the pool has room for all of them. */
const LIMIT = 64 * 1024;

/** Two cgroups below one parent, each with swap of its own. */
function cgroups(t: Test, ...set: string[]): Promise<RunningServer> {
  const folder = tempFolder(t);
  const exports = ['a', 'b'].map((name) => ({
    name,
    size: '32MiB',
    image: `${folder}/${name}.img`,
    memcg: `zswap_test/${name}`,
  }));
  return startServer(t, { folder, exports, set: ['pool.max=64MiB', ...set] });
}

async function swapOut(server: RunningServer, name: string): Promise<void> {
  const client = await server.connect({ export: name });
  await writeSlots(client, 0, PAGES);
  await client.disconnect();
}

/** How many pages came back wrong. */
async function swapIn(server: RunningServer, name: string): Promise<number> {
  const client = await server.connect({ export: name });
  const wrong = await wrongSlots(client, 0, PAGES);
  await client.disconnect();
  return wrong.length;
}

const max = (name: string): string => `/cgroup/zswap_test/${name}/memory.zswap.max`;

t.test('test_zswap_usage: swapping out goes to zswap', async (t) => {
  const server = await cgroups(t);
  t.equal((await memoryStat(server, '/zswap_test/a')).zswpout, 0);
  await swapOut(server, 'a');
  const stat = await memoryStat(server, '/zswap_test/a');
  t.equal(stat.zswpout, PAGES);
  t.equal(stat.zswapped, PAGES * 4096);
  t.equal((await getFile(server, '/cgroup/zswap_test/a/memory.zswap.current')).trim(), `${stat.zswap}`);
});

t.test('test_swapin_nozswap: at a limit of 0 nothing is in zswap, and pages come back from swap', async (t) => {
  const server = await cgroups(t);
  await setFile(server, max('a'), '0');
  await swapOut(server, 'a');
  t.match(await memoryStat(server, '/zswap_test/a'), { zswap: 0, zswpout: 0 });
  t.equal(await swapIn(server, 'a'), 0);
  t.match(await memoryStat(server, '/zswap_test/a'), { zswpin: 0 });
});

t.test('test_zswapin: pages come back from zswap', async (t) => {
  const server = await cgroups(t);
  await swapOut(server, 'a');
  t.equal(await swapIn(server, 'a'), 0);
  t.ok((await memoryStat(server, '/zswap_test/a')).zswpin >= PAGES);
});

t.test('test_zswap_writeback_enabled: what is above the limit is written back', async (t) => {
  const server = await cgroups(t);
  await setFile(server, max('a'), `${LIMIT}`);
  await swapOut(server, 'a');
  const { zswpwb, zswap } = await memoryStat(server, '/zswap_test/a');
  t.ok(zswpwb > 0);
  t.ok(zswap <= LIMIT + 4096);
  t.equal(await swapIn(server, 'a'), 0);
});

t.test('test_zswap_writeback_disabled: nothing is written back', async (t) => {
  const server = await cgroups(t);
  await setFile(server, '/parameters/pool.max', '256K');
  await setFile(server, '/cgroup/zswap_test/memory.zswap.writeback', '0');
  const client = await server.connect({ export: 'a' });
  // The pool is too small for all: the kernel keeps such a page in memory, and a guest that can't write it does so too.
  let kept = 0;
  for (let slot = 0; slot < PAGES; slot++) {
    kept = slot;
    if ((await writeSlots(client, slot, slot + 1).catch((error) => error)) instanceof Error) break;
  }
  t.ok(kept > 0 && kept < PAGES - 1, `${kept} pages`);
  t.match(await memoryStat(server, '/zswap_test/a'), { zswpwb: 0 });
  t.same(await wrongSlots(client, 0, kept), []);
});

t.test('test_no_invasive_cgroup_shrink: the limit of one cgroup takes no pages of another', async (t) => {
  const server = await cgroups(t);
  await swapOut(server, 'b');
  const before = await memoryStat(server, '/zswap_test/b');
  await setFile(server, max('a'), `${LIMIT}`);
  await swapOut(server, 'a');
  t.ok((await memoryStat(server, '/zswap_test/a')).zswpwb > 0);
  t.same(await memoryStat(server, '/zswap_test/b'), before);
});

t.test('a limit of their parent takes pages of whoever comes to it, and of nobody else', async (t) => {
  const server = await cgroups(t);
  await swapOut(server, 'b');
  const before = await memoryStat(server, '/zswap_test/b');
  await setFile(server, '/cgroup/zswap_test/memory.zswap.max', `${before.zswap + LIMIT}`);
  await swapOut(server, 'a');
  t.ok((await memoryStat(server, '/zswap_test')).zswap <= before.zswap + LIMIT + 4096);
  t.ok((await memoryStat(server, '/zswap_test/a')).zswpwb > 0);
  t.same(await memoryStat(server, '/zswap_test/b'), before);
});
