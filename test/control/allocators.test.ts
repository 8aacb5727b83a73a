// A server with each allocator: what it stores reads as written, is counted and shown by size, and nothing leaks.
import t, { type Test } from 'tap';
import { PAGE_SIZE } from '#src/pool/limits.js';
import { getFile, setFile } from '../support/control_files.ts';
import { startServer } from '../support/one_thread.ts';
import { makePage } from '../support/pool.ts';
import { runCommand } from '../support/run_process.ts';
import { MAIN, type RunningServer } from '../support/zswapd.ts';

t.setTimeout(120_000);

const PAGE = PAGE_SIZE;

const runZswapd = (args: readonly string[]): ReturnType<typeof runCommand> =>
  runCommand(process.execPath, [MAIN, ...args]);

/** A page that compresses to a third or less of one. */
function light(number: number): Uint8Array {
  const page = new Uint8Array(PAGE).fill(number & 0xff);
  page.set(makePage('random', number).subarray(0, 600 + (number % 5) * 100));
  return page;
}

/** Pages that compress, from slot 1 on, and then such that do not compress. */
async function fill(server: RunningServer, text: number, random: number): Promise<void> {
  const client = await server.connect();
  for (let slot = 1; slot <= text; slot++) await client.write(slot * PAGE, Buffer.from(light(slot)));
  for (let slot = text + 1; slot <= text + random; slot++) {
    await client.write(slot * PAGE, Buffer.from(makePage('random', slot)));
  }
  for (let slot = 1; slot <= text + random; slot++) {
    const page = slot <= text ? light(slot) : makePage('random', slot);
    if (!(await client.read(slot * PAGE, PAGE)).equals(page)) throw new Error(`slot ${slot} has other bytes`);
  }
  await client.trim(PAGE, 10 * PAGE);
  await client.disconnect();
}

const rowsOf = (text: string): number[][] =>
  text
    .split('\n')
    .slice(1, 65)
    .map((line) => line.trim().split(/\s+/).map(Number));

async function totals(t: Test, server: RunningServer, name: string): Promise<void> {
  const text = await getFile(server, `/debug/${name}/classes`);
  t.match(text.split('\n')[0], /^ chunks +size +obj_used +first +middle +last +pages_free +pages_used$/);
  const rows = rowsOf(text);
  t.ok(rows.length === 64 && rows.every((row) => row.length === 7));
  const sum = (column: number): number => rows.reduce((all, row) => all + row[column], 0);
  const total = text.trim().split('\n').at(-1)?.trim().split(/\s+/).slice(1).map(Number) ?? [];
  const { pool } = await server.stats();
  t.equal(sum(2), pool.stored_pages, 'objects in use');
  t.equal(sum(2), sum(3) + sum(4) + sum(5));
  t.same(total, [sum(2), sum(3), sum(4), sum(5), sum(6), pool.pool_total_size / PAGE]);
  t.equal(sum(4) > 0, name === 'z3fold', 'only z3fold has objects in the middle');
}

for (const name of ['zbud', 'z3fold'] as const) {
  t.test(`${name} serves, counts and shows what it holds`, async (t) => {
    const server = await startServer(t, { set: [`pool.allocator=${name}`, 'pool.max=64MiB'] });
    await fill(server, 90, 5);
    const { pool } = await server.stats();
    t.match(pool, { stored_pages: 80, reject_compress_poor: 5, checksum_mismatch: 0 });
    const pages = pool.pool_total_size / PAGE;
    t.ok(pages >= 80 / (name === 'zbud' ? 2 : 3) && pages <= 60, `${pages} pages`);
    await totals(t, server, name);
    t.equal(await getFile(server, '/parameters/zpool'), `${name}\n`);
    const shown = await runZswapd(['stats', '--classes', '--control', server.controlPath]);
    t.equal(shown.stdout, await getFile(server, `/debug/${name}/classes`));
    t.match(await getFile(server, '/debug/zsmalloc/classes'), /ENOENT/, 'the others are not there');
    const checked = await runZswapd(['stats', '--check', '--control', server.controlPath]);
    t.equal(checked.code, 0, checked.stdout);
    t.equal((await server.stop()).code, 0);
  });
}

t.test('the pool is switched while it is used, and the one before runs empty', async (t) => {
  const set = ['pool.max=64MiB', 'pool.otherAllocators=["zbud", "z3fold"]'];
  const server = await startServer(t, { set });
  const client = await server.connect();
  const objectsIn = async (name: string): Promise<number> =>
    Number(
      (await getFile(server, `/debug/${name}/classes`)).trim().split('\n').at(-1)?.trim().split(/\s+/)[
        name === 'zsmalloc' ? 13 : 1
      ],
    );
  const counts = async (): Promise<number[]> => [
    await objectsIn('zsmalloc'),
    await objectsIn('zbud'),
    await objectsIn('z3fold'),
  ];
  const write = async (first: number, last: number): Promise<void> => {
    for (let slot = first; slot <= last; slot++) await client.write(slot * PAGE, Buffer.from(light(slot)));
  };
  await write(1, 30);
  for (const [name, first] of [
    ['zbud', 21],
    ['z3fold', 41],
  ] as const) {
    t.equal(await setFile(server, '/parameters/zpool', name), '');
    t.equal(await getFile(server, '/parameters/zpool'), `${name}\n`);
    await write(first, first + 29);
  }
  t.same(await counts(), [20, 20, 30]);
  for (let slot = 1; slot <= 70; slot++) {
    if (!(await client.read(slot * PAGE, PAGE)).equals(light(slot))) t.fail(`slot ${slot} has other bytes`);
  }
  await client.trim(PAGE, 20 * PAGE);
  t.same(await counts(), [0, 20, 30]);
  t.match(await setFile(server, '/parameters/zpool', 'slab'), /ENOENT.*zsmalloc, zbud, z3fold/);
  await client.disconnect();
  t.equal((await runZswapd(['stats', '--check', '--control', server.controlPath])).code, 0);
  const shown = await runZswapd(['stats', '--classes', '--control', server.controlPath]);
  t.match(shown.stdout, /^z3fold \(current\)\n.*\nzbud\n.*\nzsmalloc\n/s);
  t.equal((await server.stop()).code, 0);
});

t.test('stats --classes prints the size classes of zsmalloc, and goes with no other form', async (t) => {
  const server = await startServer(t, {});
  const shown = await runZswapd(['stats', '--classes', '--control', server.controlPath]);
  t.equal(shown.stdout, await getFile(server, '/debug/zsmalloc/classes'));
  const both = await runZswapd(['stats', '--classes', '--json', '--control', server.controlPath]);
  t.equal(both.code, 2);
});
