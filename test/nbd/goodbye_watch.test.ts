/**
 * A client that has said goodbye and gone: what it has changed is done, and READs that nobody waits for are given up. One that
 * has only ended its side reads on.
 *
 * Seen to fail where nothing was asked of a client any more that had said goodbye: its READs waited for ever.
 */
import { join } from 'node:path';
import type { DeviceCall } from 'node-nbd-server';
import * as wire from 'node-nbd-server';
import t, { type Test } from 'tap';
import { held, ram, running } from '../support/byte_server.ts';
import { until } from '../support/nbd_server.ts';
import { rawClient, rawRequest } from '../support/raw_client.ts';
import { tempFolder } from '../support/tmp.ts';

const BLOCK = 4096;
const REPLY_BYTES = 16;
const goodbye = rawRequest(wire.NBD_CMD_DISC, 0, 0, 0, 0);
const read = (cookie: number): Buffer => rawRequest(wire.NBD_CMD_READ, 0, cookie, 0, BLOCK);
const write = Buffer.concat([rawRequest(wire.NBD_CMD_WRITE, 0, 9, 0, BLOCK), Buffer.alloc(BLOCK, 1)]);
/** Longer than it takes to look after a client again. */
const aLook = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1500));

/** A device that writes when its gate opens, and reads then too or never, unless its signal comes first; and a client of it. */
async function waiting(t: Test, { tcp, reads = true }: { readonly tcp: boolean; readonly reads?: boolean }) {
  const gate = held();
  const disk = ram({});
  t.teardown(() => gate.release());
  const seen = { calls: 0, aborted: [] as string[] };
  const opened = (what: string, { signal }: DeviceCall): Promise<void> => {
    seen.calls++;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        seen.aborted.push(what);
        reject(new Error('given up'));
      };
      signal.addEventListener('abort', abort);
      const go = (): void => {
        signal.removeEventListener('abort', abort);
        resolve();
      };
      if (reads || what === 'write') gate.promise.then(go, reject);
    });
  };
  const device = {
    ...disk,
    read: (offset: number, into: Uint8Array, call: DeviceCall) =>
      opened('read', call).then(() => into.set(disk.bytes.subarray(offset, offset + into.length))),
    write: (offset: number, from: Uint8Array, call: DeviceCall) =>
      opened('write', call).then(() => disk.bytes.set(from, offset)),
  };
  const path = join(tempFolder(t), 's');
  const { server } = await running(t, device, {}, tcp ? 0 : path);
  const client = await rawClient(t, tcp ? server.port : path, 'ram');
  return { server, seen, gate, client, bytes: disk.bytes };
}

for (const tcp of [false, true]) {
  const over = tcp ? 'over TCP' : 'on a unix socket';

  t.test(`a client that goes while its READ waits, ${over}`, async (t) => {
    const { server, seen, client } = await waiting(t, { tcp });
    client.socket.write(Buffer.concat([read(1), goodbye]));
    await until(() => seen.calls === 1);
    if (tcp) client.socket.resetAndDestroy();
    else client.socket.destroy();
    await until(() => server.connections === 0);
    t.same(seen.aborted, ['read']);
  });

  t.test(`a client that ends its side and reads on, ${over}`, async (t) => {
    const { server, seen, client, gate } = await waiting(t, { tcp });
    client.socket.end(Buffer.concat([read(1), goodbye]));
    await until(() => seen.calls === 1);
    await aLook();
    t.same(seen.aborted, []);
    gate.release();
    t.equal((await client.take(REPLY_BYTES + BLOCK)).length, REPLY_BYTES + BLOCK);
    await until(() => server.connections === 0);
  });
}

t.test('what changes data is done before READs are given up', async (t) => {
  const { server, seen, client, gate, bytes } = await waiting(t, { tcp: false, reads: false });
  client.socket.write(Buffer.concat([write, read(1), goodbye]));
  await until(() => seen.calls === 2);
  client.socket.destroy();
  await aLook();
  t.same(seen.aborted, []);
  gate.release();
  await until(() => server.connections === 0);
  t.same(seen.aborted, ['read']);
  t.ok(bytes.subarray(0, BLOCK).every((byte) => byte === 1));
});
