// zram's controls of a real server: idle pages, raw ones and ranges are written back on demand, with zram's answers.
import t, { type Test } from 'tap';
import { ctl } from '#src/cli/ctl.js';
import { getFile, setFile } from '../support/control_files.ts';
import { makePage } from '../support/pool.ts';
import { type RunningServer, startServer } from '../support/zswapd.ts';

t.setTimeout(120_000);

const PAGE = 4096;
const PAGES = 64;

const page = (slot: number): Buffer => Buffer.from(makePage(slot % 4 === 0 ? 'random' : 'text', slot));
const block = (server: RunningServer, file: string, value?: string, name = 'a'): Promise<string> =>
  value === undefined ? getFile(server, `/block/${name}/${file}`) : setFile(server, `/block/${name}/${file}`, value);

async function numbers(server: RunningServer, file: string, name = 'a'): Promise<number[]> {
  return (await block(server, file, undefined, name)).trim().split(/ +/).map(Number);
}

/** Exports `a` and `b` with pages from slot 1 on, each fourth of which does not compress. */
async function served(t: Test, ...set: string[]): Promise<RunningServer> {
  const folder = t.testdir({});
  const exports = ['a', 'b'].map((name) => ({
    name,
    size: '16MiB',
    image: `${folder}/${name}.img`,
    memcg: `g/${name}`,
  }));
  const server = await startServer(t, { exports, set: ['pool.incompressible=store', ...set] });
  for (const { name } of exports) {
    const client = await server.connect({ export: name });
    for (let slot = 1; slot <= PAGES; slot++) await client.write(slot * PAGE, page(slot));
    await client.disconnect();
  }
  return server;
}

/** Pages that read wrong, of all. */
async function wrong(server: RunningServer, name = 'a'): Promise<number[]> {
  const client = await server.connect({ export: name });
  const slots: number[] = [];
  for (let slot = 1; slot <= PAGES; slot++) {
    if (!(await client.read(slot * PAGE, PAGE)).equals(page(slot))) slots.push(slot);
  }
  await client.disconnect();
  return slots;
}

for (const lanes of [2, 0]) {
  t.test(`idle pages leave, and those that were read since stay, lanes=${lanes}`, async (t) => {
    const server = await served(t, `lanes=${lanes}`);
    t.equal(await block(server, 'writeback', 'idle'), '', 'nothing is idle before it is marked');
    t.strictSame(await numbers(server, 'bd_stat'), [0, 0, 0]);
    t.equal(await block(server, 'idle', '3600'), '');
    t.equal(await block(server, 'writeback', 'type=idle'), '');
    t.strictSame(await numbers(server, 'bd_stat'), [0, 0, 0], 'nobody has waited an hour');
    t.equal(await block(server, 'idle', 'all\n'), '');
    const client = await server.connect({ export: 'a' });
    for (let slot = 1; slot <= 10; slot++) await client.read(slot * PAGE, PAGE);
    await client.disconnect();
    t.equal(await block(server, 'writeback', 'huge_idle'), '');
    t.strictSame(await numbers(server, 'bd_stat'), [14, 0, 14], 'raw ones from slot 12 on');
    t.equal(await block(server, 'writeback', 'idle'), '');
    t.strictSame(await numbers(server, 'bd_stat'), [PAGES - 10, 0, PAGES - 10]);
    t.strictSame(await numbers(server, 'bd_stat', 'b'), [0, 0, 0]);
    t.match((await server.stats()).pool, { asked_written_back: PAGES - 10, written_back_pages: PAGES - 10 });
    t.strictSame(await wrong(server), []);
  });
}

t.test('raw pages, and ranges of pages, by zswapd ctl', async (t) => {
  const server = await served(t);
  const set = (value: string): Promise<string> => ctl(() => server.controlPath, 'set', '/block/a/writeback', { value });
  t.equal(await set('page_index=3 page_indexes=10-12 page_index=4000'), '');
  t.equal((await numbers(server, 'bd_stat'))[0], 4);
  t.equal(await set('huge'), '');
  t.equal((await numbers(server, 'bd_stat'))[0], 4 + 15);
  t.equal(await set('incompressible'), '');
  const [, , , , , , , huge, since] = await numbers(server, 'mm_stat');
  t.strictSame([huge, since], [0, 16]);
  await t.rejects(set('page_index=4096'), { message: /: ERANGE: .*allowed: pages from 0 to 4095/ });
  await t.rejects(set('all'), { message: /: EINVAL: .*allowed: / });
  t.strictSame(await wrong(server), []);
});

t.test('a limit counts down, and is EIO when it is used up', async (t) => {
  const server = await served(t);
  t.equal(await block(server, 'writeback_limit'), '0\n');
  t.equal(await block(server, 'writeback_limit', '20'), '');
  t.equal(await block(server, 'writeback', 'page_indexes=1-5'), '');
  t.equal(await block(server, 'writeback_limit'), '20\n', 'while it is not enabled');
  t.equal(await block(server, 'writeback_limit_enable', '1'), '');
  t.equal(await block(server, 'writeback_limit_enable'), '1\n');
  t.equal(await block(server, 'writeback', 'page_indexes=6-10'), '');
  t.equal(await block(server, 'writeback_limit'), '15\n');
  t.match(await block(server, 'writeback', 'page_indexes=1-64'), /^EIO: writeback_limit is used up/);
  t.equal(await block(server, 'writeback_limit'), '0\n');
  t.strictSame(await numbers(server, 'bd_stat'), [25, 0, 25]);
  t.match((await server.stats()).exports, [
    { writeback: { on_demand_pages: 25, limit_left: 0, budget_pages: null, budget_left: null } },
    { writeback: { on_demand_pages: 0, limit_left: null } },
  ]);
  t.equal(await block(server, 'writeback_limit_enable', '0'), '');
  t.equal(await block(server, 'writeback', 'page_indexes=1-64'), '');
  t.strictSame(await wrong(server), []);
});

t.test('a budget of the config bounds an interval, and is EAGAIN', async (t) => {
  const folder = t.testdir({});
  const writeback = { budget: '40KiB', interval: '1h' };
  const exports = [{ name: 'a', size: '16MiB', image: `${folder}/a.img`, writeback }];
  const server = await startServer(t, { exports });
  const client = await server.connect({ export: 'a' });
  for (let slot = 1; slot <= PAGES; slot++) await client.write(slot * PAGE, page(slot));
  await client.disconnect();
  t.equal(await block(server, 'writeback', 'page_indexes=1-3'), '');
  t.match((await server.stats()).exports, [{ writeback: { budget_pages: 10, budget_left: 7 } }]);
  t.match(await block(server, 'writeback', 'page_indexes=1-64'), /^EAGAIN: the budget /);
  const [onImage] = await numbers(server, 'bd_stat');
  t.ok(onImage >= 10, `${onImage} pages, with those that the pool has rejected`);
  t.match((await server.stats()).exports, [{ writeback: { on_demand_pages: 10, budget_left: 0 } }]);
  t.strictSame(await wrong(server), []);
});

t.test(
  'memcgs that have writeback off keep their pages, and those of memory.reclaim that are young stay',
  async (t) => {
    const server = await served(t, 'memcgs={"g/b":{"zswap.writeback":false}}');
    t.equal(await block(server, 'writeback', 'huge', 'b'), '');
    t.strictSame(await numbers(server, 'bd_stat', 'b'), [0, 0, 0]);
    const reclaim = (value: string): Promise<string> => setFile(server, '/cgroup/g/a/memory.reclaim', value);
    t.match(await reclaim('4K age=1h'), /^EAGAIN: /);
    t.strictSame(await numbers(server, 'bd_stat'), [0, 0, 0]);
    // Until the pages are a second old; each try takes none that is not.
    while ((await reclaim('16K age=1')) !== '') await new Promise((resolve) => setTimeout(resolve, 50));
    t.ok((await numbers(server, 'bd_stat'))[0] >= 4);
    t.strictSame(await wrong(server), []);
  },
);

t.test('what zram would not take is EINVAL, and the files have its modes', async (t) => {
  const server = await served(t);
  const bad: Record<string, string[]> = {
    idle: ['', 'none', '-1', '1s', '1.5'],
    writeback: ['', 'none', 'page_index', 'idle 5'],
    writeback_limit: ['', '-1', 'max', '1M'],
    writeback_limit_enable: ['', '-1', 'Y'],
    mem_used_max: ['', '1', 'x'],
  };
  for (const [file, values] of Object.entries(bad)) {
    for (const value of values) t.match(await block(server, file, value), /^EINVAL: .*allowed: /, `${file} ${value}`);
  }
  t.match(await block(server, 'idle', 'none'), /allowed: all, or an integer/);
  await block(server, 'writeback_limit_enable', '2');
  t.equal(await block(server, 'writeback_limit_enable'), '1\n', 'any number but 0, as in zram');
  t.equal(
    await getFile(server, '/block/a?ls=long'),
    [
      '-r--r--r-- bd_stat',
      '--w------- idle',
      '--w------- mem_used_max',
      '-r--r--r-- mm_stat',
      '--w------- writeback',
      '-rw-r--r-- writeback_limit',
      '-rw-r--r-- writeback_limit_enable',
      '',
    ].join('\n'),
  );
});

t.test('the most memory that an export had, until it is reset', async (t) => {
  const server = await served(t);
  const [, , used, , most] = await numbers(server, 'mm_stat');
  t.ok(most >= used && used > 16 * PAGE);
  t.equal(await block(server, 'writeback', 'huge'), '');
  const [, , less, , same] = await numbers(server, 'mm_stat');
  t.equal(same, most);
  t.ok(less < used);
  t.equal(await block(server, 'mem_used_max', '0'), '');
  t.equal((await numbers(server, 'mm_stat'))[4], less);
});
