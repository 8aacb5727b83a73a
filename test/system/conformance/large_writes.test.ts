// A guest sends up to 11 MiB in one request, other clients 32 MiB. They are streamed: never held whole, whatever the pool.
import t from 'tap';
import { startServer } from '../../support/zswapd.ts';
import { forgetPeak, peakBytes } from './memory.ts';
import { noise, succeed } from './tools.ts';

const MIB = 1 << 20;

for (const lanes of [0, 2]) {
  t.test(`11 and 32 MiB in one write, ${lanes} lanes`, async (t) => {
    const server = await startServer(t, { size: '128MiB', set: [`lanes=${lanes}`, 'pool.max=2MiB'] });
    for (const size of [11, 32]) {
      const data = noise(size, size * MIB);
      const client = await server.connect();
      await client.write(0, data.subarray(0, 4096));
      await client.write(4096, data);
      await client.write(64 * MIB + 512, data);
      t.ok((await client.read(4096, data.length)).equals(data));
      t.ok((await client.read(64 * MIB + 512, data.length)).equals(data));
      await client.disconnect();
    }
    t.match(await server.stop(), { code: 0 });
  });
}

t.test('eight writes of 32 MiB at once take far less memory than that, at any time', async (t) => {
  const server = await startServer(t, { size: '512MiB', set: ['lanes=1', 'pool.max=2MiB'] });
  const clients = await Promise.all(Array.from({ length: 8 }, () => server.connect()));
  const data = noise(7, 32 * MIB);
  // What a server has once in its life is not counted: buffers, code, the young generation of the heap.
  await Promise.all(clients.map((client, n) => client.write(n * 32 * MIB, data.subarray(0, 4 * MIB))));
  const before = forgetPeak(server.pid);
  await Promise.all(clients.map((client, n) => client.write(n * 32 * MIB, data)));
  const grown = peakBytes(server.pid) - before;
  t.ok(grown < 64 * MIB, `${(grown / MIB).toFixed(1)} MiB`);
  for (const [n, client] of clients.entries()) t.ok((await client.read(n * 32 * MIB, data.length)).equals(data));
  await Promise.all(clients.map((client) => client.disconnect()));
  t.match(await server.stop(), { code: 0 });
});

t.test('large writes of four connections at once, with small requests in between', async (t) => {
  const server = await startServer(t, { size: '128MiB', set: ['pool.max=2MiB'] });
  const clients = await Promise.all(Array.from({ length: 4 }, () => server.connect()));
  const small = await server.connect();
  const large = clients.map((client, n) => client.write(n * 16 * MIB, noise(n + 1, 11 * MIB)));
  for (let n = 0; n < 50; n++) {
    await small.write(100 * MIB + n * 4096, noise(1000 + n, 4096));
    t.ok((await small.read(100 * MIB + n * 4096, 4096)).equals(noise(1000 + n, 4096)));
  }
  await Promise.all(large);
  for (const [n, client] of clients.entries()) {
    t.ok((await client.read(n * 16 * MIB, 11 * MIB)).equals(noise(n + 1, 11 * MIB)));
    await client.disconnect();
  }
  await small.disconnect();
  t.match(await server.stop(), { code: 0 });
  await succeed(t, 'test', ['-s', server.image]);
});
