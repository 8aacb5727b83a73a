/**
 * Devices that work before they return: nobody has to wait for more than a few of their calls, whoever asked for how many.
 *
 * Seen to fail with calls begun as soon as they may, and with one line for all connections.
 */
import type { DeviceCall } from 'node-nbd-server';
import t from 'tap';
import { ram, running } from '../support/byte_server.ts';
import { until } from '../support/nbd_server.ts';

const SIZE = 64 * 2 ** 20;
/** Turns that a request, its reply, and the client in this same thread may need. */
const FEW = 24;

/** Longer than any budget of a turn. */
function work(): void {
  for (const began = performance.now(); performance.now() - began < 2; );
}

for (const [name, offset, length] of [
  ['that change the same bytes', 0, SIZE],
  ['that have nothing in common', 4096, 4096],
] as const) {
  t.test(`calls ${name}`, async (t) => {
    let begun = 0;
    const slow = (): void => {
      begun++;
      work();
    };
    const { connect } = await running(t, [ram({ size: SIZE, trim: slow }), ram({ name: 'other' })]);
    const flooder = await connect();
    const [same, other] = [await connect(), await connect('other')];
    const flood = Array.from({ length: 250 }, (_, i) => flooder.trim(i * offset, length));
    await until(() => begun > 0);
    const asks = [() => same.read(0, 1), () => other.read(0, 1), () => other.write(0, Buffer.alloc(1))];
    for (const ask of asks) {
      const before = begun;
      await ask();
      t.ok(begun - before <= FEW, `${begun - before} calls in between`);
    }
    t.ok(begun < 250, 'the flood is not over yet');
    await Promise.all(flood);
    t.equal(begun, 250);
  });
}

t.test('calls that never had their turn go with their connection', async (t) => {
  let begun = 0;
  const seen = new Set<AbortSignal>();
  const trim = (_: number, __: number, { signal }: DeviceCall): void => {
    begun++;
    seen.add(signal);
    work();
  };
  const { connect, server } = await running(t, ram({ size: SIZE, trim }));
  const client = await connect();
  const flood = Array.from({ length: 250 }, (_, i) => client.trim(i * 4096, 4096));
  await until(() => begun > 0);
  client.destroy();
  await Promise.allSettled(flood);
  await until(() => server.connections === 0);
  const after = begun;
  t.ok(after < 250);
  await (await connect()).trim(0, SIZE);
  t.equal(begun, after + 1);
  t.ok([...seen][0].aborted);
});
