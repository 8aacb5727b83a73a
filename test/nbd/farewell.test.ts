/**
 * A client that reads to the end gets all its replies and then an end, whatever it has sent that nobody reads any more.
 *
 * Seen to fail where a socket was closed with bytes unread in it, or with more to come: over TCP the kernel throws away what
 * the client has not taken yet, and a client of a unix socket gets ECONNRESET.
 */
import * as wire from 'node-nbd-server';
import t from 'tap';
import { serve, until } from '../support/nbd_server.ts';
import { BLOCK, RamDevice } from '../support/ram_device.ts';
import { type RawClient, rawClient, rawRequest } from '../support/raw_client.ts';

const { NBD_CMD_WRITE: WRITE, NBD_CMD_READ: READ, NBD_CMD_TRIM: TRIM, NBD_CMD_DISC: DISC } = wire;
const REPLY_BYTES = 16;
const READ_BYTES = 768 * 1024;

/** Lets a server close what it would close though its client has not read yet; one that waits for that does nothing else. */
async function leave(served: { readonly ends: number }): Promise<void> {
  for (let turns = 0; turns < 1000 && served.ends === 0; turns++) await new Promise((resolve) => setImmediate(resolve));
}

/** Reads to the end, and tells how it came to that. */
async function end({ socket }: RawClient): Promise<string> {
  let how = 'closed';
  socket.once('end', () => {
    how = 'ended';
  });
  socket.once('error', (error) => {
    how = String(error);
  });
  socket.resume();
  await until(() => socket.closed);
  return how;
}

for (const tcp of [true, false]) {
  const over = tcp ? 'over TCP' : 'on a unix socket';

  t.test(`a goodbye that was found in the kernel's buffer, ${over}`, async (t) => {
    const device = new RamDevice();
    const served = await serve(t, device, { tcp });
    const { where, ended } = served;
    const client = await rawClient(t, where, 'ram');
    device.writes = 'wait';
    // More than the inbox takes, so that the goodbye stays in the kernel.
    const writes = Array.from({ length: 90 }, (_, i) => [
      rawRequest(WRITE, 0, i, i * BLOCK, BLOCK),
      Buffer.alloc(BLOCK, 1),
    ]);
    const reads = [1, 2].map((cookie) => rawRequest(READ, 0, cookie, 0, READ_BYTES));
    client.socket.end(Buffer.concat([...writes.flat(), ...reads, rawRequest(DISC, 0, 0, 0, 0)]));
    await until(() => device.waiters === 1 && client.socket.writableFinished);
    device.release();
    await leave(served);
    const all = await client.take(90 * REPLY_BYTES + 2 * (REPLY_BYTES + READ_BYTES));
    t.equal(all[90 * REPLY_BYTES + REPLY_BYTES], 1);
    t.equal(await end(client), 'ended');
    await ended(1);
  });

  t.test(`a stop while a client sends on, ${over}`, async (t) => {
    const device = new RamDevice();
    device.bytes.fill(1);
    const served = await serve(t, device, { tcp });
    const { where, ended, counters, connections } = served;
    const client = await rawClient(t, where, 'ram');
    // They fit into the outbox, so they are answered, but not into what the kernel takes.
    for (const cookie of [1, 2]) client.request(READ, 0, cookie, 0, READ_BYTES);
    await until(() => counters.bytesOut > 2 * READ_BYTES);
    const more = setInterval(() => client.request(TRIM, 0, 3, 0, BLOCK), 1);
    t.teardown(() => clearInterval(more));
    client.socket.once('end', () => clearInterval(more));
    connections[0].stop();
    await leave(served);
    const all = await client.take(2 * (REPLY_BYTES + READ_BYTES));
    t.equal(all.at(-1), 1);
    t.equal(await end(client), 'ended');
    await ended(1);
  });

  t.test(`a client that says goodbye and waits for the server's end, ${over}`, async (t) => {
    const { where, ended } = await serve(t, new RamDevice(), { tcp });
    const client = await rawClient(t, where, 'ram');
    client.request(READ, 0, 1, 0, BLOCK);
    client.request(DISC, 0, 2, 0, 0);
    await client.take(REPLY_BYTES + BLOCK);
    t.equal(await end(client), 'ended');
    await ended(1);
  });
}

t.test('a client that keeps its side open does not hold up a stop', async (t) => {
  const { socketPath, ended, connections } = await serve(t, new RamDevice());
  const client = await rawClient(t, socketPath, 'ram');
  client.socket.allowHalfOpen = true;
  connections[0].stop();
  await ended(1);
  t.notOk(client.socket.closed);
});
