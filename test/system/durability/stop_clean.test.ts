// A clean stop: the image is, byte for byte, what a client read before, the marker is gone, the next start reads the same.
import t from 'tap';
import { chooseSeed, Random } from '../../support/random.ts';
import { startServer } from '../../support/zswapd.ts';
import { firstDifference, isMarked, readDevice, readImage, scribble } from './images.ts';

const seed = chooseSeed();
t.comment(`reproduce with ZSWAPD_SEED=${seed}`);

const cases = [
  { title: 'a pool larger than the data', set: ['pool.max=256MiB'], signal: 'SIGTERM' },
  { title: 'a pool smaller than the data', set: ['pool.max=1MiB'], signal: 'SIGINT' },
  { title: 'inline mode', set: ['pool.max=1MiB', 'lanes=0'], signal: 'SIGHUP' },
  { title: 'the page cache instead of O_DIRECT', set: ['pool.max=2MiB', 'image.direct=off'], signal: 'SIGTERM' },
  { title: 'strict', set: ['pool.max=1MiB', 'durability=strict'], signal: 'SIGTERM' },
  { title: 'raw pages in the pool', set: ['pool.incompressible=store', 'pool.max=64MiB'], signal: 'SIGTERM' },
  {
    title: 'no writeback',
    set: ['memcgs={"swap0":{"zswap.writeback":false}}', 'onRejectNoWriteback=raw', 'pool.max=64MiB'],
    signal: 'SIGTERM',
  },
] as const;

for (const [i, { title, set, signal }] of cases.entries()) {
  t.test(`${title}, ${signal}`, async (t) => {
    const server = await startServer(t, { size: '8MiB', set });
    t.ok(isMarked(server.image), 'the marker is there while the server runs');
    const client = await server.connect();
    await scribble(client, new Random(seed + i), 150);
    const before = await readDevice(client);
    await client.disconnect();
    const { code, stdout } = await server.stop(signal);
    t.equal(code, 0);
    t.equal(stdout.trim().split('\n').length, 1, 'stdout has the ready line only');
    t.notOk(isMarked(server.image), 'the marker is gone');
    t.equal(firstDifference(readImage(server.image), before), -1, 'the image is what a client read');

    const again = await startServer(t, { size: '8MiB', set, folder: server.folder });
    const reader = await again.connect();
    t.equal(firstDifference(await readDevice(reader), before), -1, 'the next start reads the same');
    await scribble(reader, new Random(seed + 100 + i), 50);
    const after = await readDevice(reader);
    await reader.disconnect();
    t.equal((await again.stop(signal)).code, 0);
    t.equal(firstDifference(readImage(server.image), after), -1, 'so is what was written over it');
  });
}
