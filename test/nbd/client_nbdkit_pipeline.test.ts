/** Many requests at once, bounded queues, and the two ways a connection ends, against nbdkit. */
import { randomBytes } from 'node:crypto';
import { NbdClient } from 'node-nbd-server';
import t from 'tap';
import { nbdkitMissing, startNbdkit } from '../support/nbdkit.ts';

const skip = nbdkitMissing();
const ENOTCONN = 107;
const EAGAIN = 11;

const codes = (results: PromiseSettledResult<unknown>[]): (number | 'ok')[] =>
  results.map((result) => (result.status === 'fulfilled' ? 'ok' : result.reason.errno));

t.test('64 requests in flight each get their own data', { skip }, async (t) => {
  const { socketPath } = await startNbdkit(t, ['memory', '64M']);
  for (const structured of [true, false]) {
    const client = await NbdClient.connect({ socketPath, structured, maxInFlight: 64 });
    const pages = Array.from({ length: 1024 }, () => randomBytes(4096));
    const writes = pages.map((page, i) => client.write(i * 8192, page));
    t.equal(client.inFlight, 64);
    t.equal(client.queued, 1024 - 64);
    await Promise.all(writes);
    const back = await Promise.all(pages.map((_, i) => client.read(i * 8192, 4096)));
    t.equal(back.filter((page, i) => !page.equals(pages[i])).length, 0);
    await client.disconnect();
  }
});

t.test('requests beyond the queue are refused and the others served', { skip }, async (t) => {
  const { socketPath } = await startNbdkit(t, ['memory', '1M']);
  const client = await NbdClient.connect({ socketPath, maxInFlight: 2, maxQueued: 3 });
  const reads = Array.from({ length: 7 }, () => client.read(0, 512));
  t.same(codes(await Promise.allSettled(reads)), ['ok', 'ok', 'ok', 'ok', 'ok', EAGAIN, EAGAIN]);
  await client.disconnect();
});

t.test('disconnect lets everything that was accepted finish', { skip }, async (t) => {
  const { socketPath } = await startNbdkit(t, ['memory', '1M']);
  const client = await NbdClient.connect({ socketPath, maxInFlight: 4 });
  const writes = Array.from({ length: 16 }, (_, i) => client.write(i * 4096, Buffer.alloc(4096, i)));
  const gone = client.disconnect();
  await t.rejects(client.read(0, 1), { code: 'ENOTCONN' });
  t.same(codes(await Promise.allSettled(writes)), Array(16).fill('ok'));
  await gone;
  const again = await NbdClient.connect({ socketPath });
  t.equal((await again.read(15 * 4096, 1))[0], 15);
  await again.disconnect();
});

t.test('an early disconnect loses no reply', { skip }, async (t) => {
  const { socketPath } = await startNbdkit(t, ['memory', '1M']);
  const client = await NbdClient.connect({ socketPath });
  const settled = Promise.allSettled(Array.from({ length: 16 }, () => client.read(0, 4096)));
  await client.disconnect({ early: true });
  // Requests that nbdkit has not begun when it sees DISC get ESHUTDOWN; what matters is that each gets an answer.
  t.same(
    codes(await settled).filter((code) => code !== 'ok' && code !== 108),
    [],
  );
});

t.test('a server that dies rejects everything in flight and in the queue', { skip }, async (t) => {
  const { socketPath, process } = await startNbdkit(t, ['--filter=delay', 'memory', '1M', 'rdelay=60']);
  const client = await NbdClient.connect({ socketPath, maxInFlight: 4 });
  const settled = Promise.allSettled(Array.from({ length: 8 }, () => client.read(0, 512)));
  process.kill('SIGKILL');
  t.same(codes(await settled), Array(8).fill(ENOTCONN));
  await client.closed;
  await t.rejects(client.read(0, 512), { code: 'ENOTCONN' });
  await client.disconnect();
});

t.test('destroy rejects everything in flight', { skip }, async (t) => {
  const { socketPath } = await startNbdkit(t, ['--filter=delay', 'memory', '1M', 'rdelay=60']);
  const client = await NbdClient.connect({ socketPath });
  const settled = Promise.allSettled(Array.from({ length: 8 }, () => client.read(0, 512)));
  client.destroy();
  t.same(codes(await settled), Array(8).fill(ENOTCONN));
  await client.closed;
});

t.test('errors come with their number', { skip }, async (t) => {
  const { socketPath } = await startNbdkit(t, [
    ...['--filter=error', 'memory', '1M', 'error-pwrite=ENOSPC', 'error-pwrite-rate=100%', 'error-zero=EIO'],
    'error-zero-rate=1',
  ]);
  const client = await NbdClient.connect({ socketPath });
  await t.rejects(client.write(0, Buffer.alloc(512)), { errno: 28, code: 'ENOSPC' });
  await t.rejects(client.writeZeroes(0, 512), { errno: 5, code: 'EIO' });
  t.equal((await client.read(0, 512)).length, 512);
  await client.disconnect();
});

t.test('nobody listens', async (t) => {
  await t.rejects(NbdClient.connect({ socketPath: '/nonexistent/nbd.sock' }), { code: 'ENOENT' });
});
