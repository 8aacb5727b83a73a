/** Requests that have to be refused: the right error, no effect, and a stream that stays in step. */
import * as wire from 'node-nbd-server';
import t from 'tap';
import { serve } from '../support/nbd_server.ts';
import { ALL_FLAGS, RamDevice } from '../support/ram_device.ts';

const MIB = 1024 * 1024;
const SIZE = 16 * MIB;
const {
  NBD_CMD_READ: READ,
  NBD_CMD_WRITE: WRITE,
  NBD_CMD_FLUSH: FLUSH,
  NBD_CMD_TRIM: TRIM,
  NBD_CMD_CACHE: CACHE,
  NBD_CMD_WRITE_ZEROES: ZERO,
  NBD_CMD_BLOCK_STATUS: STATUS,
} = wire;
const WRAP = 0xffff_ffff_ffff_f000n;

type Case = [what: string, code: string, type: number, flags: number, offset: number | bigint, length: number];
const CASES: Case[] = [
  ['read past the end', 'EINVAL', READ, 0, SIZE - 1, 2],
  ['read that wraps', 'EINVAL', READ, 0, WRAP, 8192],
  ['read of more than 32 MiB', 'EINVAL', READ, 0, 0, 0xffff_ffff],
  ['write past the end', 'ENOSPC', WRITE, 0, SIZE, 4096],
  ['write that wraps', 'ENOSPC', WRITE, 0, WRAP, 8192],
  ['zeroes past the end', 'ENOSPC', ZERO, 0, 0, SIZE + 1],
  ['trim past the end', 'EINVAL', TRIM, 0, SIZE - 4096, 8192],
  ['cache past the end', 'EINVAL', CACHE, 0, SIZE, 1],
  ['status past the end', 'EINVAL', STATUS, 0, 0, 0xffff_ffff],
  ['status of nothing', 'EINVAL', STATUS, 0, 0, 0],
  ['flush with a range', 'EINVAL', FLUSH, 0, 0, 512],
  ['flush with an offset', 'EINVAL', FLUSH, 0, 512, 0],
  ['unknown command', 'EINVAL', 8, 0, 0, 0],
  ['unknown command far off', 'EINVAL', 0xffff, 0, 0, 512],
  ['unknown flag', 'EINVAL', READ, 1 << 15, 0, 512],
  ['unknown flag on a write', 'EINVAL', WRITE, 1 << 5, 0, 512],
  ['no-hole on a read', 'EINVAL', READ, wire.NBD_CMD_FLAG_NO_HOLE, 0, 512],
  ['df on a write', 'EINVAL', WRITE, wire.NBD_CMD_FLAG_DF, 0, 512],
  ['fast zero, not offered', 'EINVAL', ZERO, wire.NBD_CMD_FLAG_FAST_ZERO, 0, 4096],
  ['flag on cache', 'EINVAL', CACHE, wire.NBD_CMD_FLAG_NO_HOLE, 0, 4096],
];

for (const structured of [true, false]) {
  t.test(`refused, structured=${structured}`, async (t) => {
    const device = new RamDevice({ size: SIZE });
    const { connect, counters } = await serve(t, device);
    const client = await connect({ structured, baseAllocation: structured });
    for (const [what, code, type, flags, offset, length] of CASES) {
      const payload = type === WRITE ? Buffer.alloc(length, 7) : null;
      await t.rejects(client.request(type, flags, offset, length, payload), { code }, what);
      t.equal((await client.read(0, 512)).length, 512, `in step after ${what}`);
    }
    t.ok(device.written.every((block) => block === 0));
    t.equal(counters.errors, CASES.length);
    await client.disconnect();
  });
}

t.test('FUA is fine on every command', async (t) => {
  const { connect } = await serve(t, new RamDevice());
  const client = await connect();
  for (const type of [READ, TRIM, CACHE, ZERO, STATUS]) await client.request(type, wire.NBD_CMD_FLAG_FUA, 0, 4096);
  await client.request(FLUSH, wire.NBD_CMD_FLAG_FUA, 0, 0);
});

t.test('empty requests succeed', async (t) => {
  for (const structured of [true, false]) {
    const { connect } = await serve(t, new RamDevice());
    const client = await connect({ structured, baseAllocation: structured });
    for (const type of [READ, WRITE, TRIM, CACHE, ZERO]) {
      const reply = await client.request(type, 0, 0, 0, type === WRITE ? Buffer.alloc(0) : null);
      t.equal(reply.data?.length ?? 0, 0);
    }
  }
});

t.test('a write too large is swallowed, not gathered', async (t) => {
  const device = new RamDevice();
  const { connect } = await serve(t, device);
  const client = await connect();
  const length = 40 * MIB;
  await t.rejects(client.request(WRITE, 0, 0, length, Buffer.alloc(length, 1)), { code: 'EINVAL' });
  t.ok((await client.read(0, 4096)).every((byte) => byte === 0));
});

t.test('a read-only export', async (t) => {
  const { connect } = await serve(t, new RamDevice({ flags: ALL_FLAGS | wire.NBD_FLAG_READ_ONLY }));
  const client = await connect();
  await t.rejects(client.write(0, Buffer.alloc(4096)), { code: 'EPERM' });
  await t.rejects(client.trim(0, 4096), { code: 'EPERM' });
  await t.rejects(client.writeZeroes(0, 4096), { code: 'EPERM' });
  t.equal((await client.read(0, 4096)).length, 4096);
});

t.test('what is not offered is refused', async (t) => {
  const { connect } = await serve(t, new RamDevice({ flags: wire.NBD_FLAG_HAS_FLAGS }));
  const client = await connect({ baseAllocation: false });
  await t.rejects(client.flush(), { code: 'EINVAL' });
  await t.rejects(client.trim(0, 4096), { code: 'EINVAL' });
  await t.rejects(client.cache(0, 4096), { code: 'EINVAL' });
  await t.rejects(client.write(0, Buffer.alloc(4096), { fua: true }), { code: 'EINVAL' });
  await t.rejects(client.request(STATUS, 0, 0, 4096), { code: 'EINVAL' });
});

t.test('a minimum block size is enforced', async (t) => {
  const { connect } = await serve(t, new RamDevice({ minBlock: 4096 }));
  const client = await connect();
  await t.rejects(client.read(0, 1024), { code: 'EINVAL' });
  await t.rejects(client.write(512, Buffer.alloc(4096)), { code: 'EINVAL' });
  await client.write(4096, Buffer.alloc(4096));
});

t.test('a broken stream ends the connection, and no other', async (t) => {
  const { connect, ended } = await serve(t, new RamDevice());
  const [broken, other] = [await connect(), await connect()];
  broken.sendRaw(Buffer.alloc(64, 0x42));
  await broken.closed;
  await ended(1);
  t.equal((await other.read(0, 4096)).length, 4096);
});

t.test('block status near 2^32, not aligned', async (t) => {
  const device = new RamDevice();
  // Only the numbers matter here: an export far larger than the memory behind it, all of it a hole.
  Object.assign(device.info, { size: 2 ** 40 });
  device.extent = (_block, end, into) => {
    into.end = end;
    into.status = 3;
    return into;
  };
  const { connect } = await serve(t, device);
  const client = await connect();
  for (const [offset, length] of [
    [0, 0xffff_ffff],
    [1, 0xffff_ffff],
    [2 ** 33 + 5, 0xffff_f001],
  ]) {
    // One answer is about 2^18 blocks; the next one begins behind it.
    let at = offset;
    for (const left of [4, 3, 2, 1]) {
      const answer = await client.blockStatus(at, offset + length - at);
      const end = left === 1 ? offset + length : (Math.floor(at / 4096) + 2 ** 18) * 4096;
      t.same(answer, [{ offset: at, length: end - at, flags: 3 }]);
      at = end;
    }
  }
});
