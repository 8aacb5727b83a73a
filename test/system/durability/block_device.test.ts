// An image that is a block device: served, drained and refused as a file is; the marker of a loop device lies beside its file.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { STATE_FOLDER } from '#src/config/state_folder.js';
import { loopDevice } from '../../image/images.ts';
import { failedStart, startServer } from '../../support/one_thread.ts';
import { missing } from '../../support/requires.ts';
import { run } from '../../support/run_process.ts';
import { MAIN } from '../../support/zswapd.ts';
import { firstDifference, isMarked, MIB, markerOf, readDevice, readImage, writeSlots, wrongSlots } from './images.ts';

const skip = missing('root', '/dev/loop-control');

t.setTimeout(180_000);

function backingFile(device: string): string {
  return readFileSync(`/sys/block/${device.slice('/dev/'.length)}/loop/backing_file`, 'utf8').trim();
}

/** Markers of a loop device, beside its file and in the state folder. */
function markers(device: string): string[] {
  const file = backingFile(device);
  const inFolder = existsSync(STATE_FOLDER) ? readdirSync(STATE_FOLDER) : [];
  const elsewhere = inFolder.filter((name) => name.includes(encodeURIComponent(file)));
  return [...(isMarked(file) ? [markerOf(file)] : []), ...elsewhere.map((name) => join(STATE_FOLDER, name))];
}

function device(t: Test): string {
  const path = loopDevice(t, 16 * MIB);
  t.teardown(() => {
    for (const marker of markers(path)) rmSync(marker);
  });
  return path;
}

t.test('a clean stop', { skip }, async (t) => {
  const image = device(t);
  const server = await startServer(t, { size: '16MiB', image, set: ['pool.max=1MiB'] });
  t.same(markers(image), [markerOf(backingFile(image))], 'the marker is beside the file');
  const client = await server.connect();
  await writeSlots(client, 0, 1024);
  await writeSlots(client, 1024, 2048, { texture: 'noise' });
  await client.trim(100 * 4096, 300 * 4096);
  const before = await readDevice(client);
  t.match(await failedStart(t, { size: '16MiB', image }), { code: 2, stderr: /is in use/ });
  await client.disconnect();
  t.equal((await server.stop()).code, 0);
  t.same(markers(image), []);
  t.equal(firstDifference(readImage(image), before), -1, 'the device is what a client read');
  const again = await startServer(t, { size: '16MiB', image });
  const reader = await again.connect();
  t.equal(firstDifference(await readDevice(reader), before), -1);
  await reader.disconnect();
  t.equal((await again.stop()).code, 0);
});

t.test('a kill', { skip }, async (t) => {
  const image = device(t);
  const server = await startServer(t, { size: '8MiB', image });
  await writeSlots(await server.connect(), 0, 64);
  await server.kill9();
  const { code, stderr } = await failedStart(t, { size: '8MiB', image });
  t.equal(code, 3);
  t.match(stderr, `image reset ${image}\``);
  t.match(await run(MAIN, ['image', 'reset', image]), { code: 0, stderr: /discarded its content \(8MiB/ });
  t.same(markers(image), []);
  const again = await startServer(t, { size: '8MiB', image });
  const client = await again.connect();
  t.equal(firstDifference(await readDevice(client), Buffer.alloc(8 * MIB)), -1);
  await client.disconnect();
  t.equal((await again.stop()).code, 0);
});

t.test('strict', { skip }, async (t) => {
  const image = device(t);
  const server = await startServer(t, { size: '16MiB', image, set: ['durability=strict'] });
  const client = await server.connect();
  await writeSlots(client, 0, 256);
  await client.flush();
  await server.kill9();
  const again = await startServer(t, { size: '16MiB', image, set: ['durability=strict'] });
  const reader = await again.connect();
  t.same(await wrongSlots(reader, 0, 256), []);
  await reader.disconnect();
  t.equal((await again.stop()).code, 0);
});

t.test(
  'onUnclean=reset discards what was stale, also behind the end of an export that is smaller now',
  { skip },
  async (t) => {
    const image = device(t);
    const server = await startServer(t, { size: '16MiB', image });
    await writeSlots(await server.connect(), 0, 4096, { texture: 'noise' });
    await server.kill9();
    const small = await startServer(t, { size: '8MiB', image, set: ['exports[0].onUnclean=reset'] });
    t.equal((await small.stop()).code, 0);
    t.equal(firstDifference(readImage(image), Buffer.alloc(16 * MIB)), -1);
  },
);
