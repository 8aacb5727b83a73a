// A stop and the verbs of the control plane exclude each other: the stop waits for the one that runs, and refuses those that
// come later.
import t from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { fuseImage } from '../../support/fuse_image.ts';
import { missing } from '../../support/requires.ts';
import { until } from '../../support/until.ts';
import { type RunningServer, startServer } from '../../support/zswapd.ts';
import { absentPages, isMarked, MIB, writeSlots } from './images.ts';

const skip = missing('root', '/dev/fuse', 'nbdfuse', 'nbdkit');
const BYTES = 16 * MIB;
/** So few that copying everything takes many turns, which a drain beside it would share. */
const FEW_BUFFERS = ['image.buffers=16', 'shrinker.runPages=16'];
const PAGES = 512;

async function fill(server: RunningServer): Promise<void> {
  const client = await server.connect();
  await writeSlots(client, 0, PAGES);
  await client.disconnect();
  await until(async () => (await server.stats()).exports[0].clients === 0);
}

for (const lanes of [2, 0]) {
  t.test(`SIGTERM while swapoff --keep copies to the image, lanes=${lanes}`, { skip }, async (t) => {
    const disk = await fuseImage(t, { bytes: BYTES, writeDelay: '20ms' });
    const server = await startServer(t, { size: '16MiB', image: disk.path, set: [`lanes=${lanes}`, ...FEW_BUFFERS] });
    await fill(server);
    await disk.pause();
    const answer = fetchControl(server.controlPath, '/swapoff?export=swap0&keep', 'POST');
    await until(async () => (await server.stats()).pool.image_runs > 0);
    server.child.kill('SIGTERM');
    // The stop has come as far as it can: a drain that did not wait would be at work now.
    await until(() => /waiting for connections and verbs to end|"draining"/.test(server.stderr()));
    t.notMatch(server.stderr(), /"draining"/, 'which waits');
    await disk.resume();
    t.match(await answer, { state: 'off', kept: true }, 'the verb is finished first');
    const { code, stderr } = await server.ended;
    t.equal(code, 0, stderr);
    t.notOk(isMarked(server.image), 'the marker is gone');
    t.same(absentPages(server.image, 0, PAGES), [], 'the image has every page');
  });
}

t.test(
  'swapoff and swapon are refused by name while the server drains, and nothing is discarded',
  { skip },
  async (t) => {
    const disk = await fuseImage(t, { bytes: BYTES });
    const server = await startServer(t, { size: '16MiB', image: disk.path });
    await fill(server);
    await disk.pause();
    server.child.kill('SIGTERM');
    await until(async () => (await server.stats()).pool.image_runs > 0);
    t.equal((await server.stats()).exports[0].state, 'draining');
    for (const verb of ['swapoff', 'swapon']) {
      const refused = fetchControl(server.controlPath, `/${verb}?export=swap0`, 'POST');
      await t.rejects(refused, /export swap0 is not available any more: the server is stopping/, verb);
    }
    await disk.resume();
    t.equal((await server.ended).code, 0);
    t.notOk(isMarked(server.image));
    t.same(absentPages(server.image, 0, PAGES), [], 'the image has every page');
  },
);
