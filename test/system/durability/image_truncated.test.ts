// An image that is taken away from under the server: errors, never zeros in the place of data, and no clean stop.
import { readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { failedStart, startServer } from '../../support/one_thread.ts';
import { errorOf, isMarked, MIB, PAGE, writeSlots, wrongSlots } from './images.ts';

for (const lanes of [2, 0]) {
  t.test(`truncated while it is served, lanes=${lanes}`, async (t) => {
    const set = ['pool.max=1MiB', `lanes=${lanes}`];
    const server = await startServer(t, { size: '16MiB', set });
    const client = await server.connect();
    await writeSlots(client, 0, 2048, { texture: 'noise' });
    await writeSlots(client, 2048, 2100);
    truncateSync(server.image, 4 * MIB);
    const answers = new Set<string>();
    for (let slot = 1024; slot < 2048; slot++) answers.add(await errorOf(client.read(slot * PAGE, PAGE)));
    t.same([...answers], ['EIO'], 'what lay behind the new end is an error');
    t.equal(await errorOf(client.read(0, PAGE)), 'EIO', 'the image is not trusted any more');
    t.equal(await errorOf(writeSlots(client, 1500, 1501, { texture: 'noise' })), 'EIO');
    t.equal(await errorOf(client.write(1600 * PAGE + 1, Buffer.from('part'))), 'EIO');
    t.same(await wrongSlots(client, 2048, 2100), [], 'what is in the pool is there');
    // Nobody may make it long again, with zeros where the data was.
    t.equal(readFileSync(server.image).length, 4 * MIB);
    truncateSync(server.image, 16 * MIB);
    t.equal(await errorOf(client.read(1024 * PAGE, PAGE)), 'EIO', 'nor does it help to do that from outside');
    await client.disconnect();
    const { code, stderr } = await server.stop();
    t.equal(code, 4);
    t.match(stderr, 'its marker stays');
    t.ok(isMarked(server.image));
    t.equal((await failedStart(t, { size: '16MiB', set, folder: server.folder })).code, 3);
  });
}

t.test('truncated with all data in the pool: found at the stop at the latest', async (t) => {
  const server = await startServer(t, { size: '16MiB' });
  const client = await server.connect();
  await writeSlots(client, 0, 16);
  await client.disconnect();
  truncateSync(server.image, 8 * MIB);
  t.equal((await server.stop()).code, 4);
  t.ok(isMarked(server.image));
});

t.test('strict: FLUSH to a truncated image is an error, also the next one', async (t) => {
  const server = await startServer(t, { size: '16MiB', set: ['durability=strict'] });
  const client = await server.connect();
  await writeSlots(client, 0, 16);
  truncateSync(server.image, 0);
  t.equal(await errorOf(client.flush()), 'EIO');
  truncateSync(server.image, 16 * MIB);
  t.equal(await errorOf(client.flush()), 'EIO');
});

t.test('replaced by another file: what was drained would not be found there', async (t) => {
  const server = await startServer(t, { size: '16MiB' });
  const client = await server.connect();
  await writeSlots(client, 0, 16);
  await client.disconnect();
  renameSync(server.image, `${server.image}.old`);
  writeFileSync(server.image, '');
  truncateSync(server.image, 16 * MIB);
  const { code, stderr } = await server.stop();
  t.equal(code, 4);
  t.match(stderr, /was moved, deleted or replaced/);
  t.ok(isMarked(server.image));
});
