// READs of several slices by a client that takes simple replies only, as Linux does. What fails, or takes its time, in a later
// slice is of that READ alone: its answer is EIO, and the connection with all the swap behind it goes on.
import t, { type Test } from 'tap';
import { type FuseImage, fuseImage } from '../../support/fuse_image.ts';
import { pageOf } from '../../support/random.ts';
import { missing } from '../../support/requires.ts';
import { type RunningServer, startServer } from '../../support/zswapd.ts';
import { errorOf, MIB, PAGE, writeSlots, wrongSlots } from './images.ts';

const skip = missing('root', '/dev/fuse', 'nbdfuse', 'nbdkit');
const SIZE = 16 * MIB;
/** Slots of a slice. */
const SLICE = 32;

async function served(t: Test, lanes: number): Promise<{ disk: FuseImage; server: RunningServer }> {
  const disk = await fuseImage(t, { bytes: SIZE });
  const set = [`lanes=${lanes}`, 'pool.incompressible=reject'];
  const server = await startServer(t, { size: '16MiB', image: disk.path, set });
  return { disk, server };
}

const pages = (first: number, end: number, texture?: 'noise'): Buffer =>
  Buffer.concat(Array.from({ length: end - first }, (_, i) => pageOf(first + i, 0, texture)));

for (const lanes of [2, 0]) {
  t.test(`a lost slot in the last of eight slices, lanes=${lanes}`, { skip }, async (t) => {
    const { disk, server } = await served(t, lanes);
    const client = await server.connect({ structured: false });
    const end = 8 * SLICE;
    await writeSlots(client, 0, end);
    for (const what of ['trim', 'zero', 'pwrite'] as const) disk.fail(what);
    t.equal(await errorOf(client.trim((end - 1) * PAGE, PAGE)), 'EIO');
    for (const what of ['trim', 'zero', 'pwrite'] as const) disk.heal(what);
    t.equal(await errorOf(client.read(0, end * PAGE)), 'EIO');
    t.equal(
      await errorOf(client.read(6 * SLICE * PAGE, 2 * SLICE * PAGE)),
      'EIO',
      'one that would fit into a single piece',
    );
    t.ok((await client.read(0, (end - 1) * PAGE)).equals(pages(0, end - 1)), 'on the same connection');
    await writeSlots(client, end - 1, end);
    t.ok((await client.read(0, end * PAGE)).equals(pages(0, end)), 'and it is whole again');
  });

  t.test(
    `an image that fails, then stalls, behind a slice that is in the pool, lanes=${lanes}`,
    { skip },
    async (t) => {
      const { disk, server } = await served(t, lanes);
      const client = await server.connect({ structured: false });
      // What comes last stays in the pool.
      await writeSlots(client, SLICE, 24 * SLICE, { texture: 'noise' });
      await writeSlots(client, 0, SLICE);
      const read = () => client.read(0, 24 * SLICE * PAGE);
      const expected = Buffer.concat([pages(0, SLICE), pages(SLICE, 24 * SLICE, 'noise')]);
      disk.fail('pread');
      t.equal(await errorOf(read()), 'EIO');
      t.same(await wrongSlots(client, 0, SLICE), [], 'the connection lives on');
      disk.heal('pread');
      t.ok((await read()).equals(expected));
      await disk.pause();
      let answered = false;
      const slow = read().then((data) => {
        answered = true;
        return data;
      });
      t.same(await wrongSlots(client, 0, SLICE), [], 'a READ behind it');
      await writeSlots(client, 3000, 3010);
      t.equal(answered, false, 'and it is still on its way');
      await disk.resume();
      t.ok((await slow).equals(expected));
    },
  );
}
