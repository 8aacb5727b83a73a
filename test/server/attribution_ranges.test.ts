// Partitioned swap on a real server: each range is charged to its memcg, and a limit or writeback of one is nothing to the others.
import t from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { askFile, memoryStat } from '../support/control_files.ts';
import { startServer } from '../support/one_thread.ts';
import { tempFolder } from '../support/tmp.ts';
import { writeSlots, wrongSlots } from '../system/durability/images.ts';

const PAGES = 512;
const MIB = 2 ** 20;

t.test('pages are charged to the memcg of their range, and leave with it alone', async (t) => {
  const one = (folder: string) => ({
    name: 'swap0',
    size: '16MiB',
    image: `${folder}/swap0.img`,
    memcg: 'guest',
    attribution: 'ranges',
    ranges: [
      { offset: '2MiB', size: '2MiB', memcg: 'guest/limited' },
      { offset: '4MiB', size: '2MiB', memcg: 'guest/free' },
    ],
  });
  const folder = tempFolder(t);
  const set = ['memcgs={"guest/limited":{"zswap.max":"64KiB"}}', 'pool.max=64MiB'];
  const server = await startServer(t, { folder, exports: [one(folder)], set });
  const client = await server.connect();
  for (const first of [0, PAGES, 2 * PAGES, 3 * PAGES]) await writeSlots(client, first, first + PAGES);
  const [rest, limited, free] = [
    await memoryStat(server, '/guest'),
    await memoryStat(server, '/guest/limited'),
    await memoryStat(server, '/guest/free'),
  ];
  t.equal(free.zswapped, PAGES * 4096, 'all of its range');
  t.equal(free.zswpwb, 0);
  t.ok(limited.zswap <= 65_536 + 4096 && limited.zswpwb > 0, 'the limited one was shrunk');
  t.equal(rest.zswapped - limited.zswapped - free.zswapped, 2 * PAGES * 4096, 'what is in no range is the export’s');
  t.equal(rest.zswpwb, limited.zswpwb);
  t.same(await wrongSlots(client, 0, 4 * PAGES), [], 'whoever owns it');

  await client.trim(4 * MIB, 2 * MIB);
  t.equal((await memoryStat(server, '/guest/free')).zswapped, 0);
  t.match(await fetchControl(server.controlPath, '/check'), { ok: true, problems: [] });
  const [shown] = (await server.stats()).exports;
  t.match(shown, { memcg: 'guest', attribution: 'ranges' });
});

t.test('a memcg that may not write back keeps its range in the pool, and is not removed', async (t) => {
  const folder = tempFolder(t);
  const ranges = [{ offset: 0, size: '2MiB', memcg: 'kept' }];
  const one = { name: 'swap0', size: '16MiB', image: `${folder}/swap0.img`, attribution: 'ranges', ranges };
  const set = ['memcgs={"kept":{"zswap.writeback":false,"zswap.max":0}}'];
  const server = await startServer(t, { folder, exports: [one], set });
  const client = await server.connect();
  await t.rejects(
    client.write(0, Buffer.alloc(4096, 'ab')),
    { code: 'ENOSPC' },
    'nothing may be kept, nothing written back',
  );
  await writeSlots(client, PAGES, 2 * PAGES);
  t.same(await wrongSlots(client, PAGES, 2 * PAGES), []);
  t.match(await askFile(server, 'DELETE', '/cgroup/kept'), /EBUSY.*swap0/);
});
