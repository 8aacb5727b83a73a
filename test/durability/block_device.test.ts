// An image that is a block device: served, drained and refused as a file is; its marker lies in the state folder.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { STATE_FOLDER } from '#src/ops/config/environment.js';
import { loopDevice } from '../image/images.ts';
import { run } from '../ops/run_process.ts';
import { missing } from '../support/requires.ts';
import { failedStart, MAIN, startServer } from '../support/zswapd.ts';
import { firstDifference, MIB, readDevice, readImage, writeSlots, wrongSlots } from './images.ts';

const skip = missing('root', '/dev/loop-control');

/** Markers in the state folder that belong to loop devices of `device`'s file. */
function markers(device: string): string[] {
  const sysfs = `/sys/block/${device.slice('/dev/'.length)}/loop/backing_file`;
  const file = encodeURIComponent(readFileSync(sysfs, 'utf8').trim());
  return readdirSync(STATE_FOLDER).filter((name) => name.includes(file));
}

function device(t: Test): string {
  const path = loopDevice(t, 16 * MIB);
  t.teardown(() => {
    for (const name of markers(path)) rmSync(join(STATE_FOLDER, name));
  });
  return path;
}

t.test('a clean stop', { skip }, async (t) => {
  const image = device(t);
  const server = await startServer(t, { size: '16MiB', image, set: ['pool.max=1MiB'] });
  t.equal(markers(image).length, 1, 'the marker is in the state folder');
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
