// swapoff --force while a FLUSH is at work: both end, and what the FLUSH was for is where it should be.
import t from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { fuseImage } from '../../support/fuse_image.ts';
import { pageOf } from '../../support/random.ts';
import { missing } from '../../support/requires.ts';
import { startServer } from '../../support/zswapd.ts';
import { errorOf, MIB, PAGE, readImage, writeSlots } from './images.ts';

const skip = missing('root', '/dev/fuse', 'nbdfuse', 'nbdkit');
const PAGES = 512;
/** So few buffers that a FLUSH takes many turns. */
const SET = ['durability=strict', 'image.buffers=16', 'shrinker.runPages=16'];

for (const keep of [false, true]) {
  t.test(`swapoff${keep ? ' --keep' : ''} --force beside a FLUSH`, { skip }, async (t) => {
    const disk = await fuseImage(t, { bytes: 16 * MIB });
    const server = await startServer(t, { size: '16MiB', image: disk.path, set: SET });
    const client = await server.connect();
    // Not slot 0: swapoff would wait for a copy of it, behind all that the FLUSH copies.
    await writeSlots(client, 1, PAGES);
    await disk.pause();
    const flushed = errorOf(client.flush());
    while ((await server.stats()).pool.image_runs === 0);
    const path = `/swapoff?export=swap0&force${keep ? '&keep' : ''}`;
    const off = fetchControl(server.controlPath, path, 'POST');
    // As far as it comes without the disk; without --keep the trees are freed.
    const far = keep ? 'keeping' : 'punching';
    while ((await server.stats()).exports[0].state !== far);
    await disk.resume();
    t.match(await off, { state: 'off' });
    t.equal(await flushed, 'none');
    await server.kill9();
    const image = readImage(server.image);
    const kept = Array.from({ length: PAGES }, (_, slot) => slot).filter((slot) =>
      image.subarray(slot * PAGE, (slot + 1) * PAGE).equals(pageOf(slot, 0)),
    );
    t.equal(kept.length, keep ? PAGES - 1 : 0, 'the image has what stays');
  });
}
