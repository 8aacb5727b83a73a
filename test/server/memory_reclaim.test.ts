// memory.reclaim of a real server: as many bytes of a subtree leave as were asked for, and the answers are the kernel's.
import { request } from 'node:http';
import t, { type Test } from 'tap';
import { ctl } from '#src/cli/ctl.js';
import { askFile, memoryStat } from '../support/control_files.ts';
import { makePage } from '../support/pool.ts';
import { type RunningServer, startServer } from '../support/zswapd.ts';

t.setTimeout(120_000);

const PAGE = 4096;
const PAGES = 200;

const fs = (server: RunningServer, method: 'GET' | 'PUT', path: string, body?: string): Promise<string> =>
  askFile(server, method, `/cgroup${path}`, body, null);
const reclaim = (server: RunningServer, path: string, text: string): Promise<string> =>
  fs(server, 'PUT', `${path}/memory.reclaim`, text);

/** Export `a` in guest/a/in, and `b` in guest/b, each with its pages. */
async function guests(t: Test, ...set: string[]): Promise<RunningServer> {
  const folder = t.testdir({});
  const exports = [
    { name: 'a', size: '64MiB', image: `${folder}/a.img`, memcg: 'guest/a/in' },
    { name: 'b', size: '64MiB', image: `${folder}/b.img`, memcg: 'guest/b' },
  ];
  const server = await startServer(t, { exports, set });
  for (const name of ['a', 'b']) {
    const client = await server.connect({ export: name });
    for (let slot = 1; slot <= PAGES; slot++) await client.write(slot * PAGE, Buffer.from(makePage('text', slot)));
    await client.disconnect();
  }
  return server;
}

async function wrong(server: RunningServer, name: string): Promise<number[]> {
  const client = await server.connect({ export: name });
  const slots: number[] = [];
  for (let slot = 1; slot <= PAGES; slot++) {
    if (!(await client.read(slot * PAGE, PAGE)).equals(makePage('text', slot))) slots.push(slot);
  }
  await client.disconnect();
  return slots;
}

for (const lanes of [2, 0]) {
  t.test(`so many compressed bytes of a subtree are written back, lanes=${lanes}`, async (t) => {
    const server = await guests(t, `lanes=${lanes}`);
    const before = await memoryStat(server, '/guest/a');
    t.equal(await reclaim(server, '/guest/a', '64K source=zswap\n'), '');
    const after = await memoryStat(server, '/guest/a');
    const bytes = before.zswap - after.zswap;
    t.ok(
      bytes >= 65_536 && bytes < 65_536 + PAGE * 32,
      `${bytes} bytes have left: at most a batch more than was asked`,
    );
    t.equal(after.zswpwb_proactive_b, bytes);
    t.equal(after.zswpwb, (before.zswapped - after.zswapped) / PAGE);
    for (const path of ['', '/guest', '/guest/a/in']) {
      t.equal((await memoryStat(server, path)).zswpwb_proactive_b, bytes, `counted for ${path}/`);
    }
    t.match(await memoryStat(server, '/guest/b'), { zswapped: PAGES * PAGE, zswpwb: 0, zswpwb_proactive_b: 0 });
    t.equal((await server.stats()).pool.zswpwb_proactive_b, bytes);
    t.strictSame(await wrong(server, 'a'), []);
  });
}

t.test('EAGAIN where less was there than was asked for, and what was there is written back', async (t) => {
  const server = await guests(t);
  const { zswap } = await memoryStat(server, '/guest/a/in');
  t.match(await reclaim(server, '/guest/a/in', '1G'), /^EAGAIN: /);
  t.match(await memoryStat(server, '/guest/a'), { zswap: 0, zswpwb: PAGES, zswpwb_proactive_b: zswap });
  t.match(await reclaim(server, '/guest/a', '4096'), /^EAGAIN: /);
  t.equal(await reclaim(server, '/guest/a', '0'), '');
  t.equal(await reclaim(server, '/guest/a', '4095'), '', 'less than a page is nothing, as in the kernel');
  t.equal(await reclaim(server, '', '4K swappiness=max'), '', 'the root has the file');
  t.strictSame([await wrong(server, 'a'), await wrong(server, 'b')], [[], []]);
});

t.test('each memcg of the subtree in turn, and none that has writeback off', async (t) => {
  const server = await guests(t, 'shrinker.batch=4', 'memcgs={"guest/b":{"zswap.writeback":false}}');
  t.equal(await reclaim(server, '/guest', '64K'), '');
  t.match(await memoryStat(server, '/guest/b'), { zswpwb: 0, zswpwb_proactive_b: 0 });
  t.match(await reclaim(server, '/guest/b', '4K'), /^EAGAIN: /);
  await fs(server, 'PUT', '/guest/b/memory.zswap.writeback', '1');
  t.equal(await reclaim(server, '/guest', '64K'), '');
  const [a, b] = [await memoryStat(server, '/guest/a'), await memoryStat(server, '/guest/b')];
  t.ok(b.zswpwb_proactive_b > 16_384 && a.zswpwb_proactive_b > 65_536 + 16_384, 'of each about the half');
});

t.test('age=0 holds nothing back: what was stored this moment leaves too', async (t) => {
  const image = `${t.testdir({})}/a.img`;
  const server = await startServer(t, { exports: [{ name: 'a', size: '64MiB', image, memcg: 'guest' }] });
  const client = await server.connect({ export: 'a' });
  for (let round = 1; round <= 4; round++) {
    for (let i = 0; i < 16; i++) await client.write(i * PAGE, Buffer.from(makePage('text', round)));
    const { zswap } = await memoryStat(server, '/guest');
    t.equal(await reclaim(server, '/guest', `${zswap} age=0`), '', `round ${round}`);
  }
  await client.disconnect();
});

t.test('what the kernel would not take is EINVAL, and nothing is written back', async (t) => {
  const server = await guests(t);
  const bad = [
    '',
    'x',
    '-1',
    'max',
    '10X',
    '10 M',
    '1.5M',
    'source=zswap',
    '4K source=anon',
    '4K source',
    '4K age=30x',
    '4K age=',
    '4K age=-1',
  ];
  bad.push('4K swappiness=201', '4K swappiness=-1', '4K swappiness=', '4K swappiness=low', '4K\tsource=zswap', '08K');
  for (const text of bad) t.match(await reclaim(server, '/guest', text), /^EINVAL: .*allowed: /, JSON.stringify(text));
  t.match(await memoryStat(server, '/guest'), { zswpwb: 0, zswpwb_proactive_b: 0 });
  for (const text of ['0x1000', ' 4k  source=zswap swappiness=200 ', '010000 swappiness=0 age=0'])
    t.equal(await reclaim(server, '/guest', text), '', JSON.stringify(text));
  t.match(await fs(server, 'GET', '/guest/memory.reclaim'), /^EACCES: /);
  t.match(await fs(server, 'GET', '/guest?ls=long'), /^--w------- memory\.reclaim$/m);
});

t.test('zswapd ctl sets it, and a client that goes away leaves the server at work', async (t) => {
  const server = await guests(t);
  t.equal(await ctl(() => server.controlPath, 'set', '/cgroup/guest/memory.reclaim', { value: '8K' }), '');
  for (let i = 0; i < 10; i++) {
    const path = '/v1/fs/cgroup/guest/memory.reclaim';
    const call = request({ socketPath: server.controlPath, path, method: 'PUT' });
    // It may be answered before it has gone, or cut off in the middle.
    call.on('error', () => undefined);
    call.end('1G', () => call.destroy());
    await new Promise((resolve) => call.once('close', resolve));
  }
  t.match(await reclaim(server, '/guest', '1G'), /^EAGAIN: /);
  t.strictSame([await wrong(server, 'a'), await wrong(server, 'b')], [[], []]);
});
