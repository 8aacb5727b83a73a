/** Every command of the client against nbdkit. */
import { randomBytes } from 'node:crypto';
import * as wire from 'node-nbd-server';
import { NbdClient, type NbdClientOptions } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { nbdkitMissing, startNbdkit } from '../support/nbdkit.ts';

const skip = nbdkitMissing();
const MIB = 1024 * 1024;

async function connect(t: Test, args: string[], o: NbdClientOptions = {}): Promise<NbdClient> {
  const { socketPath } = await startNbdkit(t, args);
  const client = await NbdClient.connect({ socketPath, baseAllocation: true, ...o });
  t.teardown(() => client.destroy());
  return client;
}

t.test('what the server tells', { skip }, async (t) => {
  const client = await connect(t, ['--filter=blocksize-policy', 'memory', '16M', 'blocksize-minimum=512']);
  t.equal(client.size, 16 * MIB);
  t.equal(client.structured, true);
  t.equal(client.baseAllocation, true);
  t.equal(client.info.minBlock, 512);
  const wanted = wire.NBD_FLAG_HAS_FLAGS | wire.NBD_FLAG_SEND_DF | wire.NBD_FLAG_SEND_WRITE_ZEROES;
  t.equal(client.flags & wanted, wanted);
});

for (const structured of [true, false]) {
  t.test(`write, read, zero, trim, flush, cache with structured=${structured}`, { skip }, async (t) => {
    const client = await connect(t, ['memory', '16M'], { structured });
    t.equal(client.structured, structured);
    const data = randomBytes(3 * MIB + 17);
    await client.write(MIB - 5, data, { fua: true });
    t.ok((await client.read(MIB - 5, data.length)).equals(data));
    t.ok((await client.read(MIB, 65536)).equals(data.subarray(5, 5 + 65536)));
    await client.writeZeroes(MIB, 4096, { noHole: true, fua: true });
    t.ok((await client.read(MIB, 4096)).every((byte) => byte === 0));
    await client.trim(2 * MIB, 65536);
    t.ok((await client.read(2 * MIB, 65536)).every((byte) => byte === 0));
    await client.flush();
    await client.cache(0, 4096);
    t.equal((await client.read(16 * MIB - 1, 1)).length, 1);
    await client.disconnect();
  });
}

t.test('read with DF comes in one chunk', { skip }, async (t) => {
  const client = await connect(t, ['memory', '16M']);
  const data = randomBytes(65536);
  await client.write(4096, data);
  t.ok((await client.read(4096, 65536, { df: true })).equals(data));
});

t.test('block status tells data from holes', { skip }, async (t) => {
  const client = await connect(t, ['memory', '16M']);
  await client.write(4 * MIB, randomBytes(65536));
  const hole = wire.NBD_STATE_HOLE | wire.NBD_STATE_ZERO;
  const extents = await client.blockStatus(0, 16 * MIB);
  t.same(extents[0], { offset: 0, length: 4 * MIB, flags: hole });
  t.same(extents[1].offset, 4 * MIB);
  t.same(extents[1].flags, 0);
  t.same(await client.blockStatus(4096, MIB, { reqOne: true }), [{ offset: 4096, length: MIB, flags: hole }]);
  const without = await NbdClient.connect({ socketPath: await pathOf(t), baseAllocation: false });
  await t.rejects(without.blockStatus(0, 4096), { code: 'EINVAL' });
  await t.rejects(without.request(wire.NBD_CMD_BLOCK_STATUS, 0, 0, 4096), { code: 'EINVAL' });
  await without.disconnect();
});

async function pathOf(t: Test): Promise<string> {
  return (await startNbdkit(t, ['memory', '1M'])).socketPath;
}

t.test('illegal requests are answered and the connection goes on', { skip }, async (t) => {
  const client = await connect(t, ['memory', '1M']);
  await t.rejects(client.read(MIB - 1, 2), { name: 'NbdError', errno: wire.NBD_EINVAL, code: 'EINVAL' });
  await t.rejects(client.write(MIB, randomBytes(512)), { code: 'ENOSPC' });
  await t.rejects(client.request(wire.NBD_CMD_READ, 0, 0xffff_ffff_ffff_ff00n, 512), { code: 'EINVAL' });
  await t.rejects(client.request(99, 0, 0, 512), { code: 'EINVAL' });
  await t.rejects(client.request(wire.NBD_CMD_TRIM, 1 << 14, 0, 512), { code: 'EINVAL' });
  await t.rejects(client.request(wire.NBD_CMD_FLUSH, 0, 4096, 512), { code: 'EINVAL' });
  t.equal((await client.read(0, 512)).length, 512);
});

t.test('numbers that do not fit the wire are refused before they are sent', { skip }, async (t) => {
  const client = await connect(t, ['memory', '1M']);
  for (const offset of [-1, 0.5, 2 ** 53, -1n, 1n << 64n]) {
    await t.rejects(client.request(wire.NBD_CMD_READ, 0, offset, 1), RangeError);
  }
  for (const length of [-1, 0.5, 2 ** 32]) await t.rejects(client.read(0, length), RangeError);
  t.equal(client.inFlight, 0);
});

t.test('EXPORT_NAME with and without pad bytes', { skip }, async (t) => {
  for (const noZeroes of [true, false]) {
    const client = await connect(t, ['memory', '1M'], { method: 'export-name', noZeroes });
    t.equal(client.size, MIB);
    t.equal((await client.read(0, 4096)).length, 4096);
    await client.disconnect();
  }
});

t.test('list', { skip }, async (t) => {
  const { socketPath } = await startNbdkit(t, [
    '--filter=exportname',
    'memory',
    '1M',
    'exportname=a',
    'exportname=b',
    'exportname-list=explicit',
  ]);
  t.same(await NbdClient.list({ socketPath }), [
    { name: 'a', description: '' },
    { name: 'b', description: '' },
  ]);
});

t.test('an export that the server refuses', { skip }, async (t) => {
  const { socketPath } = await startNbdkit(t, [
    ...['--filter=exportname', 'memory', '1M', 'exportname=a', 'exportname-strict=true'],
  ]);
  await t.rejects(NbdClient.connect({ socketPath, export: 'b' }), { name: 'NbdError' });
  const client = await NbdClient.connect({ socketPath, export: 'a' });
  await client.disconnect();
});
