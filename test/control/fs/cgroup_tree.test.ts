// /cgroup on the tree of memcgs that is served: what is set at run time holds at once, and the table bounds what is made.
import { NBD_ENOSPC } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { cgroupFolder } from '#src/control/fs/cgroup.js';
import { FsError } from '#src/control/fs/errors.js';
import { FileTree, table } from '#src/control/fs/tree.js';
import { treeCgroups } from '#src/control/fs/tree_cgroups.js';
import { MEMCGS_MAX, THREAD_MAIN } from '#src/pool/limits.js';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import { askFile, type Method } from '../../support/control_files.ts';
import { makePage, newZswap, put } from '../../support/pool.ts';
import { type RunningServer, startServer } from '../../support/zswapd.ts';

t.setTimeout(120_000);

const PAGE = 4096;

const ask = (server: RunningServer, method: Method, path: string, body?: string): Promise<string> =>
  askFile(server, method, `/cgroup${path}`, body);
const get = (server: RunningServer, path: string): Promise<string> => ask(server, 'GET', path);
const set = (server: RunningServer, path: string, value: string): Promise<string> => ask(server, 'PUT', path, value);

async function write(server: RunningServer, first: number, count: number): Promise<number> {
  const client = await server.connect();
  let refused = 0;
  for (let slot = first; slot < first + count; slot++) {
    const error = await client.write(slot * PAGE, Buffer.from(makePage('text', slot))).catch((caught) => caught);
    if (error !== undefined && error.errno !== NBD_ENOSPC) throw error;
    if (error !== undefined) refused++;
  }
  await client.disconnect();
  return refused;
}

function start(t: Test, lanes: number): Promise<RunningServer> {
  const image = `${t.testdir({})}/swap0.img`;
  return startServer(t, {
    exports: [{ name: 'swap0', size: '64MiB', image, memcg: 'guest/web' }],
    set: [`lanes=${lanes}`],
  });
}

for (const lanes of [2, 0]) {
  t.test(`limits and writeback that are set at run time hold in every thread, lanes=${lanes}`, async (t) => {
    const server = await start(t, lanes);
    t.equal(await write(server, 1, 100), 0);
    const current = Number(await get(server, '/guest/memory.zswap.current'));
    t.ok(current > 0);
    t.equal(await get(server, '/guest/web/memory.zswap.current'), `${current}\n`, 'the parent has what its child has');
    t.equal(
      await get(server, '/guest/memory.stat'),
      `zswap ${current}\nzswapped ${100 * PAGE}\nzswap_incomp 0\nzswpin 0\nzswpout 100\nzswpwb 0\nzswpwb_proactive_b 0\nagent_charged 0\nzswap_dead 0\n`,
    );
    t.equal(await set(server, '/guest/memory.zswap.max', '64K\n'), '');
    t.equal(await get(server, '/guest/memory.zswap.max'), '65536\n');
    t.equal(await get(server, '/guest/web/memory.zswap.max'), 'max\n');
    // Connections go to all lanes in turn. At the limit the owner is shrunk.
    for (let i = 0; i < 4; i++) t.equal(await write(server, 1000 + 25 * i, 25), 0);
    const stat = await get(server, '/guest/web/memory.stat');
    t.match(stat, /^zswpwb [1-9]\d*$/m, 'the parent has a limit, and the child is written back');
    t.equal(await set(server, '/guest/memory.zswap.writeback', '0'), '');
    t.equal(await get(server, '/guest/web/memory.zswap.writeback'), '1\n', 'its own word');
    t.equal(await set(server, '/guest/web/memory.zswap.max', '0'), '');
    for (let i = 0; i < 4; i++) t.equal(await write(server, 2000 + i, 1), 1, 'neither kept nor written back');
    t.equal(await set(server, '/guest/web/memory.zswap.max', 'max'), '');
    t.equal(await set(server, '/guest/memory.zswap.max', 'max'), '');
    for (let i = 0; i < 4; i++) t.equal(await write(server, 3000 + i, 1), 0);
  });
}

t.test('memcgs come and go at run time', async (t) => {
  const server = await start(t, 1);
  t.equal(await ask(server, 'POST', '/guest/db'), '');
  t.equal(await ask(server, 'POST', '/guest/db/%C3%A4%20b'), '');
  t.equal(
    await ask(server, 'GET', '/guest/db?ls=long').then((list) => list.match(/^d.*$/gm)?.join()),
    'drwxr-xr-x ä b',
  );
  t.equal(await get(server, '/guest/db/memory.zswap.max'), 'max\n');
  t.equal(await get(server, '/guest/cgroup.stat'), 'nr_descendants 3\nnr_dying_descendants 0\n');
  t.match(await ask(server, 'POST', '/guest/db'), /^EEXIST: /);
  t.match(await ask(server, 'POST', '/no/db'), /^ENOENT: /);
  t.match(await ask(server, 'DELETE', '/guest/db'), /^EBUSY: /, 'it has a memcg');
  t.match(await ask(server, 'DELETE', '/guest/web'), /^EBUSY: /, 'it has an export');
  t.match(await set(server, '/guest/db/memory.zswap.max', '-1'), /^EINVAL: /);
  t.match(await set(server, '/guest/db/memory.zswap.writeback', '2'), /^EINVAL: /);
  t.match(await set(server, '/guest/db/memory.zswap.current', '0'), /^EACCES: /);
  t.match(await set(server, '/memory.zswap.max', '0'), /^ENOENT: /, 'the root has none');
  t.equal(await ask(server, 'DELETE', '/guest/db/%C3%A4%20b'), '');
  t.equal(await ask(server, 'DELETE', '/guest/db'), '');
  t.match(await ask(server, 'DELETE', '/guest/db'), /^ENOENT: /);
  t.equal(await get(server, '/cgroup.stat'), 'nr_descendants 2\nnr_dying_descendants 0\n');
  t.equal(await set(server, '/memory.zswap.writeback', '0'), '');
  t.equal(await get(server, '/memory.zswap.writeback'), '0\n');
  // The log comes after the answers. What was refused changed nothing, so it is not among the first lines either.
  const changes = await server.until(() => {
    const lines = server.stderr().match(/^.*"msg":"a file was changed.*$/gm) ?? [];
    return lines.length < 5 ? undefined : lines.map((line) => JSON.parse(line));
  });
  t.match(changes, [
    { level: 30, verb: 'mkdir', path: '/cgroup/guest/db' },
    { level: 30, verb: 'mkdir', path: '/cgroup/guest/db/ä b' },
    { level: 30, verb: 'rmdir', path: '/cgroup/guest/db/ä b' },
    { level: 30, verb: 'rmdir', path: '/cgroup/guest/db' },
    { level: 30, verb: 'set', path: '/cgroup/memory.zswap.writeback', value: '0' },
  ]);
});

function inProcess() {
  const z = newZswap();
  const tree = new MemcgTree(z.shared, THREAD_MAIN);
  const groups = treeCgroups(z.shared, tree, () => Promise.resolve(0));
  return { z, tree, files: new FileTree(table({ cgroup: cgroupFolder(groups) })) };
}

t.test('a hundred thousand mkdirs end at the rows of the table', async (t) => {
  const { files } = inProcess();
  let made = 0;
  let refused = 0;
  for (let i = 0; i < 100_000; i++) {
    try {
      files.mkdir(`/cgroup/m/${i}`);
      made++;
    } catch (error) {
      if (!(error instanceof FsError) || !error.message.startsWith('ENOSPC')) throw error;
      refused++;
    }
  }
  // The root and m have one row each.
  t.same({ made, refused }, { made: MEMCGS_MAX - 2, refused: 100_000 - MEMCGS_MAX + 2 });
  t.equal(await files.get('/cgroup/cgroup.stat'), `nr_descendants ${MEMCGS_MAX - 1}\nnr_dying_descendants 0\n`);
  t.equal(files.ls('/cgroup/m', true).split('\n').length, MEMCGS_MAX - 2 + 6 + 1);
  files.rmdir('/cgroup/m/7');
  files.mkdir('/cgroup/m/new');
});

t.test('rmdir of a memcg that has pages takes it offline, as in the kernel: its parent has them', async (t) => {
  const { z, files, tree } = inProcess();
  files.mkdir('/cgroup/m/a');
  files.mkdir('/cgroup/m/a/b');
  tree.attach(0, 'm/a/b');
  for (let slot = 1; slot <= 3; slot++) put(z, slot, makePage('text', slot));
  t.throws(() => files.rmdir('/cgroup/m/a/b'), { message: /^EBUSY: memcg "m\/a\/b" has export a$/ });
  tree.attach(0, 'm');
  const current = await files.get('/cgroup/m/memory.zswap.current');
  t.throws(() => files.rmdir('/cgroup/m/a'), { message: /^EBUSY: memcg "m\/a" has 1 memcgs$/ });
  files.rmdir('/cgroup/m/a/b');
  t.notMatch(files.ls('/cgroup/m/a', false), /^b$/m);
  t.throws(() => files.rmdir('/cgroup/m/a/b'), { message: /^ENOENT: / });
  t.equal(await files.get('/cgroup/m/a/memory.zswap.current'), current);
  t.equal(await files.get('/cgroup/m/cgroup.stat'), 'nr_descendants 1\nnr_dying_descendants 1\n');
  files.rmdir('/cgroup/m/a');
  t.equal(await files.get('/cgroup/m/memory.zswap.current'), current);
  t.equal(await files.get('/cgroup/m/cgroup.stat'), 'nr_descendants 0\nnr_dying_descendants 2\n');
  for (let slot = 1; slot <= 3; slot++) z.invalidate(0, slot);
  // A row is free after those below it.
  await files.get('/cgroup/m/cgroup.stat');
  t.equal(await files.get('/cgroup/m/cgroup.stat'), 'nr_descendants 0\nnr_dying_descendants 0\n');
});

t.test('one that is too deep is refused, and so is one that has an export', async (t) => {
  const { z, files } = inProcess();
  put(z, 1, makePage('text', 1));
  t.throws(() => files.rmdir('/cgroup/m'), { message: /^EBUSY: memcg "m" has export a$/ });
  let path = '/cgroup';
  const deepest = (): void => {
    for (;;) {
      path += '/d';
      files.mkdir(path);
    }
  };
  t.throws(deepest, { message: /^EAGAIN: .* levels, allowed: at most \d+$/ });
  t.throws(() => files.ls(path, false), { message: /^ENOENT: / });
});
