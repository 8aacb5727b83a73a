/**
 * Devices by bytes that do not answer hold no more than is said, of one connection and of all that have ended.
 *
 * Seen to fail without the bound of bytes that were given up, and with that of blocks alone for what is taken.
 */
import t from 'tap';
import { ram, running } from '../support/byte_server.ts';
import { until } from '../support/nbd_server.ts';

t.test('a device that has not ended 4096 calls that were given up gets no more', async (t) => {
  let begun = 0;
  const device = ram({
    size: 64 * 2 ** 20,
    write: () => {
      begun++;
      return new Promise(() => undefined);
    },
  });
  const { connect, server } = await running(t, device);
  for (let round = 0; round < 17; round++) {
    const client = await connect();
    const before = begun;
    const first = round * 256;
    const writes = Array.from({ length: 256 }, (_, i) => client.write((first + i) * 4096, Buffer.alloc(4096)));
    if (round < 16) {
      await until(() => begun === before + 256);
      client.destroy();
      await Promise.allSettled(writes);
      await until(() => server.connections === 0);
    } else {
      for (const answer of await Promise.allSettled(writes)) t.match(answer, { reason: { code: 'ENOMEM' } });
    }
  }
  t.equal(begun, 4096);
});

t.test('a device that holds 64 MiB of calls that were given up gets no more', async (t) => {
  const MIB = 2 ** 20;
  let bytes = 0;
  let begun = 0;
  const write = (_: number, from: Uint8Array): Promise<void> => {
    bytes += from.length;
    begun++;
    return new Promise(() => undefined);
  };
  const { connect, server } = await running(t, ram({ size: 256 * MIB, write }));
  for (let round = 0; ; round++) {
    const client = await connect();
    const writes = Array.from({ length: 4 }, (_, i) =>
      client.write((round * 4 + i) * (MIB / 4), Buffer.alloc(MIB / 4)),
    );
    const all = Promise.allSettled(writes);
    let refused: unknown;
    writes[0].catch(({ code }) => {
      refused = code;
    });
    await until(() => refused !== undefined || begun === 4 * (round + 1));
    const answer = refused;
    client.destroy();
    await all;
    await until(() => server.connections === 0);
    if (answer === undefined && bytes <= 64 * MIB) continue;
    t.equal(answer, 'ENOMEM');
    break;
  }
  t.equal(bytes, 64 * MIB);
});

t.test('a device that stands still is given 1 MiB of a connection, in blocks of any size', async (t) => {
  for (const blockSize of [4096, 65_536]) {
    let bytes = 0;
    const write = (_: number, from: Uint8Array): Promise<void> => {
      bytes += from.length;
      return new Promise(() => undefined);
    };
    const { connect, server } = await running(t, ram({ size: 64 * 2 ** 20, blockSize, write }));
    const client = await connect();
    const writes = Promise.allSettled([
      client.write(0, Buffer.alloc(8 * 2 ** 20)),
      client.write(8 * 2 ** 20, Buffer.alloc(8 * 2 ** 20)),
    ]);
    await until(() => bytes >= 2 ** 20 && server.counters.parks === 1);
    t.equal(bytes, 2 ** 20, `blocks of ${blockSize}`);
    client.destroy();
    await writes;
  }
});
