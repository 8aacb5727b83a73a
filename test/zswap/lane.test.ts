// A lane: bounded reads per image in their order, what is parked looked at again once per wake-up, orders that wait for room.
import t from 'tap';
import { IMAGE } from '#src/image/counters.js';
import { ORDERS_PER_LANE } from '#src/pool/shared.js';
import { C } from '#src/zswap/counters.js';
import { ORDER } from '#src/zswap/orders.js';
import { Bench } from '../support/lane.ts';

const TWO = {
  exports: [0, 1].map((x) => ({ name: `${x}`, pages: 1000, memcg: 0 })),
};

t.test('an image gets a bounded number of reads, the rest in their order as others end', async (t) => {
  const b = new Bench({}, 2);
  const dst = new Uint8Array(4096);
  const ended: string[] = [];
  for (let slot = 0; slot < 5; slot++) b.lane.readImage(0, slot, 1, dst, 0, (errno) => ended.push(`${slot}:${errno}`));
  t.strictSame(
    b.reading.map(({ slot }) => slot),
    [0, 1],
  );
  b.arrive();
  t.strictSame(
    b.reading.map(({ slot }) => slot),
    [1, 2],
  );
  b.arrive(5);
  for (let left = 3; left > 0; left--) b.arrive();
  t.strictSame(ended, ['0:0', '1:5', '2:0', '3:0', '4:0']);
  t.equal(b.z.counters[IMAGE.image_read_errors], 1);
  t.equal(b.z.counters[IMAGE.image_reads], 5);
  b.lane.readImage(0, 9, 1, dst, 0, () => undefined);
  t.equal(b.reading.length, 1, 'there is room again');
});

t.test('an image that stalls keeps no read of another image waiting', async (t) => {
  const b = new Bench(TWO, 1);
  const dst = new Uint8Array(4096);
  for (const x of [0, 0, 1, 1]) b.lane.readImage(x, 10 + x, 1, dst, 0, () => undefined);
  t.strictSame(
    b.reading.map(({ slot }) => slot),
    [10, 11],
  );
  b.reading.shift();
  b.arrive();
  t.match(
    b.reading,
    [{ slot: 11 }],
    'its next read goes out when its own ends, though the other image has not ended one',
  );
});

t.test('each wake-up looks once at what is parked, also at what parks again', async (t) => {
  const b = new Bench();
  let [looks, last] = [0, 0];
  const again = {
    counted: false,
    resume: (): void => {
      looks++;
      b.lane.park(again);
    },
  };
  b.lane.park(again);
  b.lane.park({ resume: () => last++ });
  t.equal(looks, 0);
  for (let i = 1; i <= 3; i++) {
    b.look();
    t.strictSame([looks, last], [i, 1]);
  }
  t.equal(b.z.counters[C.parks], 1, 'it waits all the time, and is counted once; the other one is counted elsewhere');
});

t.test('an order that finds no room is sent when there is some', async (t) => {
  const b = new Bench();
  const ended: number[] = [];
  for (let i = 0; i < ORDERS_PER_LANE + 2; i++) b.lane.order(ORDER.PUNCH, 0, i, 1, () => ended.push(i));
  t.notOk(b.lane.hasRoom(0));
  const [first, second, ...others] = b.orders();
  t.equal(others.length, ORDERS_PER_LANE - 2);
  b.answer(first);
  t.strictSame(
    b.orders().map(({ slot }) => slot),
    [ORDERS_PER_LANE],
  );
  b.answer(second);
  t.strictSame(
    b.orders().map(({ slot }) => slot),
    [ORDERS_PER_LANE + 1],
  );
  t.strictSame(ended, [0, 1]);
  for (const order of others) b.answer(order);
  t.ok(b.lane.hasRoom(0));
});
