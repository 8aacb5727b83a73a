/**
 * What was sent before a goodbye is done, also when nobody is there any more who would take an answer.
 *
 * Seen to fail without StreamTransport.peek, where a stream ends behind a chunk that had no room, and where the first reply
 * that can't be sent is the end of its socket, with all that lies unread in it.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import * as wire from 'node-nbd-server';
import { serve } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { held, ram, running } from '../support/byte_server.ts';
import { FIXED, infoData, option, u32 } from '../support/handshake_driver.ts';
import { until } from '../support/nbd_server.ts';
import { rawClient, rawRequest } from '../support/raw_client.ts';
import { tempFolder } from '../support/tmp.ts';

const BLOCK = 4096;
const MIB = 2 ** 20;

const goodbye = rawRequest(wire.NBD_CMD_DISC, 0, 2, 0, 0);
const write = (i: number): Buffer =>
  Buffer.concat([rawRequest(wire.NBD_CMD_WRITE, 0, 1, i * BLOCK, BLOCK), Buffer.alloc(BLOCK, 1)]);
const writes = (n: number): Buffer => Buffer.concat(Array.from({ length: n }, (_, i) => write(i)));
const handshake = Buffer.concat([u32(FIXED), option(wire.NBD_OPT_GO, infoData('ram'))]);

/** A stream on which `push` brings what a client has sent. */
const stream = (o: { allowHalfOpen: boolean }): Duplex =>
  new Duplex({ ...o, read: () => undefined, write: (_chunk, _encoding, done) => done() });

for (const [how, end] of Object.entries({
  'that ends': (one: Duplex) => one.push(null),
  'whose other side ends with it': (one: Duplex) => one.push(null),
})) {
  for (const says of [true, false]) {
    t.test(`a stream ${how} behind a chunk that had no room, ${says ? 'with' : 'without'} a goodbye`, async (t) => {
      const gate = held();
      const disk = ram({ size: 4 * MIB });
      const slow = async (offset: number, from: Uint8Array): Promise<void> => {
        await gate.promise;
        disk.bytes.set(from, offset);
      };
      const server = await serve({ ...disk, write: slow });
      t.teardown(() => server.close(0));
      const client = stream({ allowHalfOpen: how === 'that ends' });
      server.accept(client);
      client.push(handshake);
      client.push(Buffer.concat([writes(600), says ? goodbye : Buffer.alloc(0)]));
      end(client);
      await until(() => client.readableEnded || client.destroyed);
      gate.release();
      await until(() => server.connections === 0);
      const last = disk.bytes.subarray(500 * BLOCK, 600 * BLOCK);
      t.ok(last.every((one) => one === (says ? 1 : 0)));
    });
  }
}

/** A device of which the first call waits for a gate, and all take a turn, or none. */
async function leavers(t: Test, o: { readonly later: boolean }) {
  const gate = held();
  const disk = ram({ size: 4 * MIB });
  const write = (offset: number, from: Uint8Array): unknown => {
    const stored = (): unknown => disk.bytes.set(from, offset);
    return o.later ? gate.promise.then(() => new Promise((resolve) => setImmediate(resolve))).then(stored) : stored();
  };
  const path = join(tempFolder(t), 's');
  const { server } = await running(t, { ...disk, write }, {}, path);
  const client = await rawClient(t, path, 'ram');
  // It takes its replies, so that the server notices by nothing else that it has gone.
  client.socket.resume();
  return { server, bytes: disk.bytes, gate, client };
}

for (const later of [false, true]) {
  for (const says of [true, false]) {
    const name = `a client that goes before it has its replies, ${says ? 'with' : 'without'} a goodbye, ${later ? 'promised' : 'at once'}`;
    t.test(name, async (t) => {
      const { server, bytes, gate, client } = await leavers(t, { later });
      const all = [writes(400), says ? goodbye : Buffer.alloc(0)];
      // It goes when its kernel has the last of it.
      client.socket.write(Buffer.concat(all), () => client.socket.destroy());
      // What is with the device is a part of that, and takes as long as the client.
      if (later) await until(() => server.counters.bytesIn > 256 * BLOCK);
      gate.release();
      await once(client.socket, 'close');
      await until(() => server.connections === 0);
      if (says) t.ok(bytes.subarray(0, 400 * BLOCK).every((one) => one === 1));
      else t.pass('what came in time is done, and nobody waits for the rest');
    });
  }
}

t.test('a client that goes while its device is stuck, and whose replies are what tells of it', async (t) => {
  const { server, bytes, gate, client } = await leavers(t, { later: true });
  // So much that some is not read, and so little that the kernel takes it.
  const payload = Buffer.concat([writes(340), goodbye]);
  client.socket.write(payload);
  await until(() => client.socket.writableLength === 0);
  client.socket.destroy();
  gate.release();
  await until(() => server.connections === 0);
  t.ok(bytes.subarray(0, 340 * BLOCK).every((one) => one === 1));
});
