// An image that fails in the middle of the work: whoever met the error is told, nothing that was acknowledged is lost while
// the server lives, and what could not be written is written when the disk is well again.
import t from 'tap';
import { fuseImage } from '../../support/fuse_image.ts';
import { startServer } from '../../support/one_thread.ts';
import { pageOf } from '../../support/random.ts';
import { missing } from '../../support/requires.ts';
import type { RunningServer } from '../../support/zswapd.ts';
import {
  errorOf,
  firstDifference,
  isMarked,
  MIB,
  PAGE,
  readDevice,
  readImage,
  writeSlots,
  wrongSlots,
} from './images.ts';

const skip = missing('root', '/dev/fuse', 'nbdfuse', 'nbdkit');
const BYTES = 16 * MIB;

/** Waits for a state of the server; the test's own timeout is the bound. */
async function until(server: RunningServer, condition: (pool: Record<string, number>) => boolean): Promise<void> {
  while (!condition((await server.stats()).pool));
}

for (const lanes of [2, 0]) {
  t.test(`EIO in mid-writeback, lanes=${lanes}`, { skip }, async (t) => {
    const disk = await fuseImage(t, { bytes: BYTES });
    const set = ['pool.max=1MiB', `lanes=${lanes}`, 'image.buffers=512'];
    const server = await startServer(t, { size: '16MiB', image: disk.path, set });
    const client = await server.connect();
    await writeSlots(client, 0, 512);
    disk.fail('pwrite');
    // More than the pool holds; some of it is in writeback when the disk fails, and stays there.
    const results = await Promise.all(
      Array.from({ length: 1024 }, (_, i) => errorOf(writeSlots(client, 512 + i, 513 + i))),
    );
    t.ok(
      results.every((result) => result === 'none' || result === 'EIO'),
      'a request is answered with the error that it met, or with none',
    );
    await until(server, (pool) => pool.writeback_failed > 0);
    const kept = results.flatMap((result, i) => (result === 'none' ? [512 + i] : []));
    t.ok(kept.length > 0, `${kept.length} pages were taken`);
    t.ok(kept.length < 1024, `${1024 - kept.length} were refused`);
    const wrong = await Promise.all(kept.map((slot) => wrongSlots(client, slot, slot + 1)));
    t.same(wrong.flat(), [], 'and read as they were written');
    t.same(await wrongSlots(client, 0, 512), [], 'what was there before reads right all the time');
    const lines = await server.logged('image operation failed');
    t.ok(lines.length <= 3, 'one line in the log for each kind of failure');
    t.match(lines[0], /"what":"writing a page (back|that the pool did not take)","error":"EIO"/);
    t.ok((await server.stats()).pool.image_write_errors > 3, 'each is counted');

    disk.heal('pwrite');
    await writeSlots(client, 0, 2048, { version: 1 });
    t.same(await wrongSlots(client, 0, 2048, { version: 1 }), [], 'new writes work, and supersede what was parked');
    const before = await readDevice(client);
    await client.disconnect();
    t.equal((await server.stop()).code, 0);
    t.notOk(isMarked(server.image));
    t.equal(firstDifference(readImage(server.image), before), -1);
  });
}

t.test('parked pages are tried again without a request', { skip }, async (t) => {
  const disk = await fuseImage(t, { bytes: BYTES });
  const server = await startServer(t, { size: '16MiB', image: disk.path, set: ['pool.max=1MiB'] });
  const client = await server.connect();
  disk.fail('pwrite');
  await Promise.all(Array.from({ length: 1024 }, (_, i) => errorOf(writeSlots(client, i, i + 1))));
  await until(server, (pool) => pool.writeback_failed > 0);
  const { writeback_buffers_free: free } = (await server.stats()).pool;
  disk.heal('pwrite');
  await until(server, (pool) => pool.writeback_buffers_free === 1024);
  t.ok(free < 1024, `${1024 - free} buffers had been taken by parked pages`);
  t.ok((await server.stats()).pool.image_writes > 0);
});

t.test('a read error is answered on the request that met it', { skip }, async (t) => {
  const disk = await fuseImage(t, { bytes: BYTES });
  const server = await startServer(t, { size: '16MiB', image: disk.path, set: ['pool.max=1MiB'] });
  const client = await server.connect();
  await writeSlots(client, 0, 256, { texture: 'noise' });
  await writeSlots(client, 256, 300);
  disk.fail('pread');
  t.equal(await errorOf(client.read(0, PAGE)), 'EIO');
  t.equal(await errorOf(client.read(10 * PAGE, 64 * PAGE)), 'EIO');
  t.equal(await errorOf(client.write(PAGE + 5, Buffer.alloc(100))), 'EIO', 'a part of a page needs its base');
  t.same(await wrongSlots(client, 256, 300), [], 'what is in the pool needs no image');
  await writeSlots(client, 20, 21, { version: 1 });
  t.same(await wrongSlots(client, 20, 21, { version: 1 }), [], 'nor does a new page');
  disk.heal('pread');
  t.same(await wrongSlots(client, 0, 20, { texture: 'noise' }), [], 'no failed request has changed a slot');
  t.ok((await server.stats()).pool.image_read_errors >= 3);
  await client.disconnect();
  t.equal((await server.stop()).code, 0);
});

t.test('a drain that meets errors keeps the marker and says what is lost', { skip }, async (t) => {
  const disk = await fuseImage(t, { bytes: BYTES });
  const server = await startServer(t, { size: '16MiB', image: disk.path });
  const client = await server.connect();
  await writeSlots(client, 0, 100);
  await client.disconnect();
  disk.fail('pwrite');
  const { code, stderr } = await server.stop();
  t.equal(code, 4);
  t.match(stderr, /"pages":100,.*drain of swap0 failed: its marker stays, 100 pages are lost/);
  t.ok(isMarked(server.image));
});

t.test('strict: FLUSH and FUA answer the error of the image, and work again after it', { skip }, async (t) => {
  const disk = await fuseImage(t, { bytes: BYTES });
  const server = await startServer(t, { size: '16MiB', image: disk.path, set: ['durability=strict'] });
  const client = await server.connect();
  await writeSlots(client, 0, 64);
  disk.fail('pwrite');
  t.equal(await errorOf(client.flush()), 'EIO');
  t.equal(await errorOf(client.write(100 * PAGE, Buffer.alloc(PAGE, 3), { fua: true })), 'EIO');
  t.same(await wrongSlots(client, 0, 64), [], 'reads are right all the same');
  disk.heal('pwrite');
  t.equal(await errorOf(client.flush()), 'none');
  await server.kill9();
  t.equal(
    firstDifference(
      readImage(server.image).subarray(0, 64 * PAGE),
      Buffer.concat(Array.from({ length: 64 }, (_, slot) => pageOf(slot, 0))),
    ),
    -1,
  );
});
