// An image that stalls keeps the requests of its own export waiting, and nobody else's: pages that wait for it, ranges that
// wait for it and the buffers that both hold are of its own share. Nothing here looks at a clock: the image stays stalled
// until the others are answered.
import t, { type Test } from 'tap';
import { fuseImage } from '../support/fuse_image.ts';
import { pageOf } from '../support/random.ts';
import { missing } from '../support/requires.ts';
import { startServer } from '../support/zswapd.ts';
import { RawSocket } from '../system/conformance/raw_socket.ts';
import { MIB, PAGE, writeSlots, wrongSlots } from '../system/durability/images.ts';

const skip = missing('root', '/dev/fuse', 'nbdfuse', 'nbdkit');
/** A slice of a range, in slots. */
const SLICE = 512;

/** Exports `a`, on a disk that can be paused, and `b`, with a client each. Both are served by the same lane. */
async function twoExports(t: Test, bytes: number, set: readonly string[]) {
  const disk = await fuseImage(t, { bytes });
  const size = `${bytes / MIB}MiB`;
  const exports = [
    { name: 'a', size, image: disk.path },
    { name: 'b', size, image: `${disk.path}-b` },
  ];
  const server = await startServer(t, { exports, set: ['lanes=1', ...set] });
  const [a, b] = await Promise.all(['a', 'b'].map((name) => server.connect({ export: name })));
  return { disk, server, a, b };
}

t.test('rejected pages of a stalled image leave buffers for those of another', { skip }, async (t) => {
  const set = ['pool.max=1MiB', 'pool.incompressible=reject', 'image.buffers=64', 'shrinker.runPages=16'];
  const { disk, server, a, b } = await twoExports(t, 16 * MIB, set);
  await disk.pause();
  const stalled = writeSlots(a, 0, 256, { texture: 'noise' });
  // A request has to wait for a buffer: its export has all that it can get.
  while ((await server.stats()).pool.parks === 0);
  await writeSlots(b, 0, 128, { texture: 'noise' });
  t.same(await wrongSlots(b, 0, 128, { texture: 'noise' }), [], 'the other export is written and read');
  await b.trim(0, 16 * PAGE);
  await b.write(5000, Buffer.alloc(100, 1));
  t.ok((await server.stats()).pool.image_runs > 0);
  await disk.resume();
  await stalled;
  t.same(await wrongSlots(a, 0, 256, { texture: 'noise' }), []);
});

t.test('ranges that wait for a stalled image leave those of another alone', { skip }, async (t) => {
  const slices = 100;
  const { disk, server, a, b } = await twoExports(t, slices * SLICE * PAGE, []);
  const slots = Array.from({ length: slices }, (_, i) => i * SLICE);
  await Promise.all(slots.map((slot) => a.write(slot * PAGE, pageOf(slot, 1))));
  await disk.pause();
  const stalled = slots.map((slot) => a.trim(slot * PAGE, SLICE * PAGE));
  // One of them waits for a row of its export's.
  while ((await server.stats()).pool.parks === 0);
  await writeSlots(b, 0, 64);
  await b.trim(0, 32 * PAGE);
  await b.writeZeroes(32 * PAGE, 16 * PAGE);
  t.ok((await b.read(0, 48 * PAGE)).every((byte) => byte === 0));
  t.same(await wrongSlots(b, 48, 64), []);
  await disk.resume();
  await Promise.all(stalled);
});

for (const end of ['close', 'disc'] as const) {
  t.test(
    `clients of a stalled image that leave with a READ under way keep places from others: ${end}`,
    { skip },
    async (t) => {
      const set = ['listen.maxConnections=8', 'pool.max=1MiB', 'pool.incompressible=reject'];
      const { disk, server, a, b } = await twoExports(t, 4 * MIB, set);
      await b.disconnect();
      await writeSlots(a, 0, 64, { texture: 'noise' });
      await a.disconnect();
      await disk.pause();
      let refused = 0;
      for (let n = 0; n < 12; n++) {
        const { reads } = (await server.stats()).pool;
        const client = await server.connect({ export: 'a' }).catch((error: Error) => {
          t.match(error.message, /export a has no place left/);
          return null;
        });
        if (client === null) {
          refused++;
          continue;
        }
        client.read(n * PAGE, PAGE).catch(() => undefined);
        if (end === 'disc') client.disconnect({ early: true }).catch(() => undefined);
        while ((await server.stats()).pool.reads === reads);
        client.destroy();
      }
      t.equal(refused, 6);
      t.equal((await server.stats()).exports[0].clients, 6, 'of 8 places 6 are taken, and 2 are for the other export');
      const silent = await Promise.all(Array.from({ length: 7 }, () => RawSocket.open(t, server.socketPath)));
      await Promise.all(silent.map((raw) => raw.take(18)));
      const other = await server.connect({ export: 'b' });
      await writeSlots(other, 0, 4);
      t.same(await wrongSlots(other, 0, 4), []);
      await other.disconnect();
      await disk.resume();
      await server.stop();
      const [first, last] = server.stderr().match(/export a: .*for itself of listen.maxConnections \(2\)/g) ?? [];
      t.match(first, 'connection refused');
      t.match(last, '5 further connections refused');
    },
  );
}
