/** Random commands against the server, compared with a flat array of bytes. */
import fc from 'fast-check';
import { NBD_STATE_ZERO } from 'node-nbd-server';
import t from 'tap';
import { serve } from '../support/nbd_server.ts';
import { RamDevice } from '../support/ram_device.ts';

const SIZE = 1024 * 1024;
const command = fc.record({
  op: fc.constantFrom('write', 'write', 'write', 'read', 'zero', 'trim', 'status'),
  offset: fc.oneof(
    fc.nat(SIZE - 1),
    fc.nat(SIZE / 4096 - 1).map((n) => n * 4096),
  ),
  length: fc.oneof(
    fc.integer({ min: 0, max: 9000 }),
    fc.nat(80).map((n) => n * 4096),
  ),
  fill: fc.integer({ min: 1, max: 255 }),
});

for (const structured of [true, false]) {
  for (const others of ['now', 'soon'] as const) {
    t.test(`device equals a flat model, structured=${structured}, reads ${others}`, async (t) => {
      const device = new RamDevice({ size: SIZE });
      device.others = others;
      const { connect } = await serve(t, device);
      const client = await connect({ structured, baseAllocation: structured });
      const model = Buffer.alloc(SIZE);
      await fc.assert(
        fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 40 }), async (commands) => {
          for (const { op, offset, length, fill } of commands) {
            const n = Math.min(length, SIZE - offset);
            const end = offset + n;
            if (op === 'write') {
              await client.write(offset, Buffer.alloc(n, fill));
              model.fill(fill, offset, end);
            } else if (op === 'read') {
              if (!(await client.read(offset, n)).equals(model.subarray(offset, end))) return false;
            } else if (op === 'zero') {
              await client.writeZeroes(offset, n);
              model.fill(0, offset, end);
            } else if (op === 'trim') {
              await client.trim(offset, n);
              const first = Math.ceil(offset / 4096) * 4096;
              model.fill(0, first, Math.max(first, Math.floor(end / 4096) * 4096));
            } else if (structured && n > 0) {
              let at = offset;
              for (const extent of await client.blockStatus(offset, n)) {
                if (extent.offset !== at || extent.length === 0) return false;
                at += extent.length;
                const zero = (extent.flags & NBD_STATE_ZERO) !== 0;
                if (zero && model.subarray(extent.offset, at).some((byte) => byte !== 0)) return false;
              }
              if (at !== end) return false;
            }
          }
          return (await client.read(0, SIZE)).equals(model);
        }),
        { numRuns: 25 },
      );
      await client.disconnect();
    });
  }
}
