// An image that stalls keeps the requests of its own export waiting, and nobody else's: pages that wait for it, ranges that
// wait for it and the buffers that both hold are of its own share. Nothing here looks at a clock: the image stays stalled
// until the others are answered.
import t, { type Test } from 'tap';
import { fuseImage } from '../support/fuse_image.ts';
import { pageOf } from '../support/random.ts';
import { missing } from '../support/requires.ts';
import { startServer } from '../support/zswapd.ts';
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
  t.ok((await server.stats()).pool.image_writes > 0);
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
