// The files of a real server: what is in them after traffic, and that what can be set is set in every thread.
import { NBD_ENOSPC } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { getFile as get, setFile as set } from '../../support/control_files.ts';
import { startServer } from '../../support/one_thread.ts';
import { makePage } from '../../support/pool.ts';
import type { RunningServer } from '../../support/zswapd.ts';

t.setTimeout(120_000);

const PAGE = 4096;
const MIB = 2 ** 20;

const numbers = async (server: RunningServer, path: string): Promise<number[]> =>
  (await get(server, path)).trim().split(/\s+/).map(Number);

type Kind = Parameters<typeof makePage>[0];

async function write(server: RunningServer, kind: Kind, first: number, count: number, name = 'swap0'): Promise<void> {
  const client = await server.connect({ export: name });
  for (let slot = first; slot < first + count; slot++) {
    await client.write(slot * PAGE, Buffer.from(makePage(kind, slot + 1)));
  }
  await client.disconnect();
}

/** Without writeback nothing leaves, and what the pool does not take is refused. */
const FROZEN = 'memcgs={"swap0":{"zswap.writeback":false}}';

async function refused(t: Test, server: RunningServer, slot: number): Promise<void> {
  const error: unknown = await write(server, 'text', slot, 1).catch((caught) => caught);
  t.match(error, { errno: NBD_ENOSPC });
}

const two = (t: Test, ...set: string[]): Promise<RunningServer> => {
  const folder = t.testdir({});
  const exports = ['a', 'b/c'].map((name, x) => ({ name, size: '64MiB', image: `${folder}/${x}.img` }));
  return startServer(t, { exports, set: ['lanes=2', ...set] });
};

t.test('the files say what the counters say', async (t) => {
  const server = await two(t, 'pool.max=64MiB', 'memcgs={"a":{"zswap.max":"10MiB","zswap.writeback":false}}');
  await write(server, 'text', 1, 30, 'a');
  await write(server, 'same', 100, 5, 'a');
  await write(server, 'random', 1, 7, 'b/c');
  const { pool, memcgs } = await server.stats();
  for (const name of (await get(server, '/debug/zswap?ls')).trim().split('\n')) {
    t.equal(await get(server, `/debug/zswap/${name}`), `${pool[name]}\n`, name);
  }
  t.ok(pool.stored_pages === 35 && pool.reject_compress_poor === 7);
  const { 'zswap.current': current } = memcgs[0];
  t.equal(await get(server, '/cgroup/a/memory.zswap.current'), `${current}\n`);
  t.equal(await get(server, '/cgroup/a/memory.zswap.max'), `${10 * MIB}\n`);
  t.equal(await get(server, '/cgroup/b/c/memory.zswap.max'), 'max\n');
  t.equal(await get(server, '/cgroup/a/memory.zswap.writeback'), '0\n');
  t.equal(
    await get(server, '/cgroup/a/memory.stat'),
    `zswap ${current}\nzswapped ${30 * PAGE}\nzswap_incomp 0\nzswpin 0\nzswpout 30\nzswpwb 0\nzswpwb_proactive_b 0\nagent_charged 0\nzswap_dead 0\n`,
    'same-filled pages are charged to nobody',
  );
  t.equal(
    await get(server, '/cgroup/memory.stat'),
    `zswap ${current}\nzswapped ${35 * PAGE}\nzswap_incomp 0\nzswpin 0\nzswpout 35\nzswpwb 0\nzswpwb_proactive_b 0\nagent_charged 0\nzswap_dead 0\n`,
  );
  t.equal(await get(server, '/cgroup/cgroup.stat'), 'nr_descendants 3\nnr_dying_descendants 0\n');
  const mm = await numbers(server, '/block/a/mm_stat');
  const { 2: memory } = mm;
  t.same(mm, [35 * PAGE, current, memory, 64 * MIB, memory, 5, 0, 0, 0]);
  t.ok(memory >= current && memory <= pool.pool_total_size, 'objects are no larger than their classes');
  t.same(await numbers(server, '/block/a/bd_stat'), [0, 0, 0]);
  t.same(await numbers(server, '/block/b%252Fc/bd_stat'), [7, 0, 7], 'rejected pages are on the image');
  const client = await server.connect({ export: 'b/c' });
  await client.read(PAGE, 3 * PAGE);
  await client.disconnect();
  t.same(await numbers(server, '/block/b%252Fc/bd_stat'), [7, 3, 7], 'and are read from there');
  t.same(await numbers(server, '/block/a/bd_stat'), [0, 0, 0], 'by each export for itself');
});

t.test('size classes add up, in the columns of the kernel', async (t) => {
  const server = await startServer(t, { set: ['pool.incompressible=store'] });
  await write(server, 'text', 1, 50);
  await write(server, 'random', 100, 20);
  const lines = (await get(server, '/debug/zsmalloc/classes')).split('\n');
  t.match(
    lines[0],
    /^ class {2}size {7}10% {7}20% .* 99% {6}100% obj_allocated {3}obj_used pages_used pages_per_zspage freeable$/,
  );
  const rows = lines.slice(1, -3).map((line) => line.trim().split(/\s+/).map(Number));
  t.ok(rows.every((row) => row.length === 18));
  const total = lines.at(-2)?.trim().split(/\s+/).slice(1).map(Number) ?? [];
  const sum = (column: number): number => rows.reduce((all, row) => all + row[column], 0);
  t.equal(sum(14), 70, 'objects in use');
  // All but pages_per_zspage, which has no sum.
  t.same(total, [...Array.from({ length: 14 }, (_, i) => sum(i + 2)), sum(17)]);
  t.equal(sum(15) * PAGE, (await server.stats()).pool.pool_total_size);
  t.same(rows.find((row) => row[1] === 4112)?.[14], 20, 'raw pages are in the last class');
});

for (const lanes of [2, 0]) {
  t.test(`a limit that is set holds at once in every thread, lanes=${lanes}`, async (t) => {
    const server = await startServer(t, { set: ['pool.max=64MiB', `lanes=${lanes}`, FROZEN] });
    await write(server, 'text', 1, 200);
    t.equal((await server.stats()).pool.pool_limit_hit, 0);
    t.equal(await set(server, '/parameters/pool.max', '64K'), '');
    t.equal((await server.stats()).pool.pool_max, 65_536);
    // Connections go to all lanes in turn.
    for (let i = 0; i < 4; i++) await refused(t, server, 1000 + i);
    t.equal((await server.stats()).pool.pool_limit_hit, 4);
    t.equal(await set(server, '/parameters/pool.max', '64M'), '');
    for (let i = 0; i < 4; i++) await write(server, 'text', 2000 + i, 1);
    t.equal((await server.stats()).pool.pool_limit_hit, 4);
  });

  t.test(`shrinker_enabled is what the config says, and then what is set, lanes=${lanes}`, async (t) => {
    const server = await startServer(t, { set: [`lanes=${lanes}`, 'shrinker.enabled=true', 'shrinker.pressure=100'] });
    t.equal(await get(server, '/parameters/shrinker_enabled'), 'Y\n');
    t.equal(await set(server, '/parameters/shrinker_enabled', '0\n'), '');
    t.equal(await get(server, '/parameters/shrinker_enabled'), 'N\n');
    t.match(await set(server, '/parameters/shrinker_enabled', 'maybe\n'), /EINVAL/);
  });

  t.test(`same-filled pages stop being such when that is set, lanes=${lanes}`, async (t) => {
    const server = await startServer(t, { set: [`lanes=${lanes}`] });
    await write(server, 'same', 1, 4);
    t.equal(await get(server, '/debug/zswap/same_filled_pages'), '4\n');
    t.equal(await set(server, '/parameters/same_filled_pages_enabled', 'off\n'), '');
    t.equal(await get(server, '/parameters/same_filled_pages_enabled'), 'N\n');
    for (let i = 0; i < 4; i++) await write(server, 'same', 100 + i, 1);
    t.equal(await get(server, '/debug/zswap/same_filled_pages'), '4\n');
    t.equal(await get(server, '/debug/zswap/stored_pages'), '8\n');
  });
}

for (const lanes of [2, 0]) {
  t.test(`enabled: N stores no page in any thread and keeps those it has, Y does again, lanes=${lanes}`, async (t) => {
    const server = await startServer(t, { set: [`lanes=${lanes}`] });
    await write(server, 'text', 1, 8);
    t.equal(await get(server, '/parameters/enabled'), 'Y\n');
    t.equal(await set(server, '/parameters/enabled', 'n\n'), '');
    t.equal(await get(server, '/parameters/enabled'), 'N\n');
    // Connections go to all lanes in turn.
    for (let i = 0; i < 4; i++) await write(server, i % 2 === 0 ? 'text' : 'same', 100 + i, 1);
    t.equal(await get(server, '/debug/zswap/stored_pages'), '8\n', 'what was there stays');
    const client = await server.connect();
    for (let slot = 1; slot <= 8; slot++)
      t.ok((await client.read(slot * PAGE, PAGE)).equals(makePage('text', slot + 1)));
    await client.write(PAGE, Buffer.from(makePage('text', 1000)));
    t.equal(await get(server, '/debug/zswap/stored_pages'), '7\n', 'and goes when it is overwritten');
    t.ok((await client.read(PAGE, PAGE)).equals(makePage('text', 1000)), 'the image has the new one');
    await client.disconnect();
    t.equal(await set(server, '/cgroup/memory.reclaim', '4K'), '', 'or is written back');
    const left = Number(await get(server, '/debug/zswap/stored_pages'));
    t.ok(left < 7);
    t.equal(await set(server, '/parameters/enabled', 'Y'), '');
    for (let i = 0; i < 4; i++) await write(server, 'text', 200 + i, 1);
    t.equal(await get(server, '/debug/zswap/stored_pages'), `${left + 4}\n`);
    t.match(await set(server, '/parameters/enabled', '2'), /^EINVAL: .*allowed: Y or N/);
  });
}

t.test('enabled: N where writeback is off does what onRejectNoWriteback says', async (t) => {
  const fails = await startServer(t, { set: [FROZEN, 'onRejectNoWriteback=fail'] });
  await set(fails, '/parameters/enabled', 'N');
  await refused(t, fails, 1);
  t.equal(await get(fails, '/debug/zswap/stored_pages'), '0\n');
  const keeps = await startServer(t, { set: [FROZEN, 'onRejectNoWriteback=raw'] });
  await set(keeps, '/parameters/enabled', 'N');
  await write(keeps, 'text', 1, 1);
  t.equal(await get(keeps, '/debug/zswap/stored_incompressible_pages'), '1\n', 'raw, in the pool');
});

t.test('a full pool takes pages again at the threshold that is set', async (t) => {
  const server = await startServer(t, { set: ['pool.max=4MiB', 'pool.acceptThresholdPercent=80', FROZEN] });
  t.equal(await get(server, '/parameters/accept_threshold_percent'), '80\n');
  await write(server, 'text', 1, 100);
  await set(server, '/parameters/pool.max', '64K');
  await refused(t, server, 1000);
  await set(server, '/parameters/accept_threshold_percent', '1');
  await set(server, '/parameters/pool.max', '4M');
  await refused(t, server, 1000);
  t.equal((await server.stats()).pool.pool_limit_hit, 1, 'it was not the limit');
  await set(server, '/parameters/accept_threshold_percent', '100');
  await write(server, 'text', 1000, 1);
});

t.test('a percentage that is read can be set again, and none beyond it', async (t) => {
  const server = await startServer(t, { set: ['pool.max=10%'] });
  const { pool_max: most } = (await server.stats()).pool;
  t.equal(await get(server, '/parameters/max_pool_percent'), '10\n');
  t.equal(await set(server, '/parameters/max_pool_percent', '1\n'), '');
  t.equal(await get(server, '/parameters/max_pool_percent'), '1\n');
  t.ok((await server.stats()).pool.pool_max < most / 9);
  t.match(await set(server, '/parameters/max_pool_percent', '11'), /^EINVAL: .*allowed: an integer from 0 to 10\n$/);
  const allowed = new RegExp(`is not valid, allowed: bytes from 0 to ${most}, which may end in `);
  for (const text of ['max', '', '1P', '-1']) t.match(await set(server, '/parameters/pool.max', text), allowed, text);
  t.equal(await set(server, '/parameters/max_pool_percent', '10'), '');
  t.equal((await server.stats()).pool.pool_max, most);
  t.equal(await set(server, '/parameters/max_pool_percent', '0'), '');
  await write(server, 'text', 1, 3);
  t.equal(await get(server, '/debug/zswap/stored_pages'), '0\n', 'none is stored');
});

t.test('every file that is listed is read, and written only where its mode says so', async (t) => {
  const server = await two(t);
  const files: { path: string; mode: string }[] = [];
  const walk = async (folder: string): Promise<void> => {
    for (const line of (await get(server, `${folder}?ls=long`)).trim().split('\n')) {
      const [mode, name] = [line.slice(0, 10), line.slice(11)];
      const path = `${folder}/${encodeURIComponent(name)}`;
      t.match(await get(server, `${path}?ls`), /./, `ls ${path}`);
      if (mode.startsWith('d')) await walk(path);
      else files.push({ path, mode });
    }
  };
  await walk('');
  t.ok(files.length > 50);
  for (const { path, mode } of files) {
    t.match(await get(server, path), mode[1] === 'r' ? /^[^A-Z]|^[YN]\n/ : /^EACCES: /, path);
    const refusal = await set(server, path, 'no such value');
    t.match(refusal, mode[2] === 'w' ? /^EINVAL: .*, allowed: / : /^EACCES: /, `${mode} ${path}`);
  }
});
