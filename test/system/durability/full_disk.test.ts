// A full disk under the image: the request that met it is answered ENOSPC, the server lives, nothing acknowledged is lost.
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loopDevice, mount } from '../../image/images.ts';
import { missing } from '../../support/requires.ts';
import { type RunningServer, startServer } from '../../support/zswapd.ts';
import { errorOf, firstDifference, isMarked, MIB, readDevice, readImage, writeSlots, wrongSlots } from './images.ts';

const skip = missing('root', '/dev/loop-control', 'mkfs.ext4');

interface SmallDisk {
  readonly image: string;
  /** Gives back what something else took. */
  free(): void;
}

/** Room for about `mib` MiB of a 64 MiB device; another file takes as much. */
function smallDisk(t: Test, type: 'tmpfs' | 'ext4', mib = 4): SmallDisk {
  let folder: string;
  if (type === 'tmpfs') folder = mount(t, 'tmpfs', 'none', `size=${2 * mib}m`);
  else {
    const device = loopDevice(t, 2.5 * mib * MIB);
    execFileSync('mkfs.ext4', ['-q', '-O', '^has_journal', '-m', '0', device]);
    folder = mount(t, 'ext4', device, 'noatime');
  }
  const filler = join(folder, 'filler');
  writeFileSync(filler, Buffer.alloc(mib * MIB, 1));
  return { image: join(folder, 'image'), free: () => rmSync(filler) };
}

const errorLines = async (server: RunningServer): Promise<number> =>
  (await server.logged('image operation failed')).length;

/** The results of writing slots [first, end), one request each. */
const tryWrites = (
  client: Awaited<ReturnType<RunningServer['connect']>>,
  first: number,
  end: number,
  texture: 'noise' | 'text',
) =>
  Promise.all(
    Array.from({ length: end - first }, (_, i) => errorOf(writeSlots(client, first + i, first + i + 1, { texture }))),
  );

for (const type of ['tmpfs', 'ext4'] as const) {
  t.test(`pages that only the image could take, ${type}`, { skip }, async (t) => {
    const disk = smallDisk(t, type);
    const server = await startServer(t, { image: disk.image, set: ['pool.max=1MiB'] });
    const client = await server.connect();
    const results = await tryWrites(client, 0, 1536, 'noise');
    t.same([...new Set(results)].sort(), ['ENOSPC', 'none']);
    const kept = results.flatMap((result, slot) => (result === 'none' ? [slot] : []));
    t.ok(kept.length >= 512, `${kept.length} pages were taken`);
    const wrong = await Promise.all(kept.map((slot) => wrongSlots(client, slot, slot + 1, { texture: 'noise' })));
    t.same(wrong.flat(), [], 'what was taken reads right');
    t.equal(await errorLines(server), 1, 'one line in the log');
    const { pool } = await server.stats();
    t.ok(pool.image_write_errors >= results.length - kept.length, 'each failure is counted');

    disk.free();
    await writeSlots(client, 0, 1536, { version: 1, texture: 'noise' });
    t.same(await wrongSlots(client, 0, 1536, { version: 1, texture: 'noise' }), [], 'with room, all can be written');
    const before = await readDevice(client);
    await client.disconnect();
    t.equal((await server.stop()).code, 0);
    t.notOk(isMarked(disk.image));
    t.equal(firstDifference(readImage(disk.image), before), -1);
  });

  const long =
    type === 'tmpfs' && process.env.ZSWAPD_LONG !== '1' && 'with --long; ext4 is the one that allocates late';
  t.test(`writeback to a full disk, ${type}`, { skip: skip || long }, async (t) => {
    // What fills the pool has to fit in the end, and is several times as large there.
    const disk = smallDisk(t, type, 8);
    const server = await startServer(t, { image: disk.image, set: ['pool.max=1MiB', 'image.buffers=256'] });
    const client = await server.connect({ maxQueued: 8192 });
    const results = await tryWrites(client, 0, 8192, 'text');
    t.same([...new Set(results)].sort(), ['ENOSPC', 'none']);
    while ((await server.stats()).pool.writeback_failed === 0);
    const kept = results.flatMap((result, slot) => (result === 'none' ? [slot] : []));
    const wrong = await Promise.all(kept.map((slot) => wrongSlots(client, slot, slot + 1)));
    t.same(wrong.flat(), [], 'parked pages, pool and image read right');

    disk.free();
    while ((await server.stats()).pool.writeback_buffers_free < 256);
    const still = await Promise.all(kept.map((slot) => wrongSlots(client, slot, slot + 1)));
    t.same(still.flat(), [], 'and after they were tried again');
    // Whoever was refused may write again, or trim.
    for (const [slot, result] of results.entries()) if (result !== 'none') await client.trim(slot * 4096, 4096);
    const before = await readDevice(client);
    await client.disconnect();
    t.equal((await server.stop()).code, 0);
    t.equal(firstDifference(readImage(disk.image), before), -1);
  });
}

t.test('a page that could not be replaced is still there', { skip }, async (t) => {
  const disk = smallDisk(t, 'tmpfs');
  const server = await startServer(t, { image: disk.image });
  const client = await server.connect();
  await writeSlots(client, 0, 64);
  // Noise can't stay in the pool; it fills the disk, and then has to fail on slots that the pool holds.
  await tryWrites(client, 1024, 2560, 'noise');
  t.same([...new Set(await tryWrites(client, 0, 64, 'noise'))], ['ENOSPC']);
  t.same(await wrongSlots(client, 0, 64), [], 'the old page, not what the image had before it');
});

t.test('a drain to a full disk is exit code 4, and the marker stays', { skip }, async (t) => {
  const disk = smallDisk(t, 'tmpfs');
  const server = await startServer(t, { image: disk.image });
  const client = await server.connect();
  await writeSlots(client, 0, 2048);
  await client.disconnect();
  const { code, stderr } = await server.stop();
  t.equal(code, 4);
  t.match(stderr, /"pages":[1-9]\d*,.*drain of swap0 failed: its marker stays, [1-9]\d* pages are lost/);
  t.ok(isMarked(disk.image));
});

t.test(
  'strict: FLUSH on a full disk answers ENOSPC, and what it could not keep is flushed later',
  { skip },
  async (t) => {
    const disk = smallDisk(t, 'tmpfs');
    const server = await startServer(t, { image: disk.image, set: ['durability=strict'] });
    const client = await server.connect();
    await writeSlots(client, 0, 1536);
    t.equal(await errorOf(client.flush()), 'ENOSPC');
    t.equal(await errorOf(client.flush()), 'ENOSPC', 'an error is not forgotten');
    t.same(await wrongSlots(client, 0, 1536), []);
    disk.free();
    t.equal(await errorOf(client.flush()), 'none');
    await server.kill9();
    const again = await startServer(t, { image: disk.image, folder: server.folder, set: ['durability=strict'] });
    const reader = await again.connect();
    t.same(await wrongSlots(reader, 0, 1536), []);
    await reader.disconnect();
    t.equal((await again.stop()).code, 0);
  },
);
