// swapoff on an image that fails: what could not be copied is not discarded, and the export serves on.
import t from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { fuseImage } from '../../support/fuse_image.ts';
import { missing } from '../../support/requires.ts';
import { startServer } from '../../support/zswapd.ts';
import { errorOf, isMarked, MIB, readImage, writeSlots, wrongSlots } from './images.ts';

const skip = missing('root', '/dev/fuse', 'nbdfuse', 'nbdkit');
const PAGES = 100;

for (const flags of ['&keep', '']) {
  t.test(`swapoff${flags} is refused, and is tried again`, { skip }, async (t) => {
    const disk = await fuseImage(t, { bytes: 16 * MIB });
    const server = await startServer(t, { size: '16MiB', image: disk.path });
    const client = await server.connect();
    await writeSlots(client, 0, PAGES);
    const swapoff = (): Promise<object> =>
      fetchControl(server.controlPath, `/swapoff?export=swap0&force${flags}`, 'POST');
    disk.fail('pwrite');
    await t.rejects(swapoff(), /the image of swap0 failed \(EIO\); it is still on/);
    t.equal((await server.stats()).exports[0].state, 'on');
    t.same(await wrongSlots(client, 0, PAGES), [], 'every page is still there');
    t.equal(await errorOf(writeSlots(client, PAGES, PAGES + 1)), 'none', 'and writes are taken');
    disk.heal('pwrite');
    t.match(await swapoff(), { state: 'off' });
    t.equal((await server.stats()).pool.stored_pages, 0);
    const kept = flags === '' ? 1 : PAGES;
    t.same(await wrongSlots(client, 0, kept), [], 'what stays is on the image');
    await client.disconnect();
    t.equal((await server.stop()).code, 0);
    t.notOk(isMarked(server.image));
    t.equal(readImage(server.image).length, 16 * MIB);
  });
}
