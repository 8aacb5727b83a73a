/**
 * What was sent before a goodbye is done, also when nobody is there any more who would take an answer.
 *
 * Seen to fail without StreamTransport.peek, where a stream ends behind a chunk that had no room.
 */
import { Duplex } from 'node:stream';
import * as wire from 'node-nbd-server';
import { serve } from 'node-nbd-server';
import t from 'tap';
import { held, ram } from '../support/byte_server.ts';
import { FIXED, infoData, option, u32 } from '../support/handshake_driver.ts';
import { until } from '../support/nbd_server.ts';
import { rawRequest } from '../support/raw_client.ts';

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
