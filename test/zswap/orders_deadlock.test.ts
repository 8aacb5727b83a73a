// FLUSH and FUA wait for pins and claims; whoever holds one may need an order to get rid of it, and finds a place for it.
import t from 'tap';
import { release } from '#src/pool/claims.js';
import { ORDERS_PER_LANE } from '#src/pool/shared.js';
import { ORDER } from '#src/zswap/orders.js';
import { imageThread } from '../support/image_thread.ts';
import { makePage, put, standing } from '../support/pool.ts';

for (const kind of ['FLUSH', 'PERSIST'] as const) {
  t.test(`${kind} of any number leaves a place for the punch of a TRIM that it waits for`, async (t) => {
    const i = imageThread(t, { strict: true });
    put(i.z, 3, makePage('text', 1));
    const row = standing(i.shared.claims, 0, 0, 512, i.z.thread);
    const syncs = Array.from({ length: ORDERS_PER_LANE + 10 }, () => i.order(ORDER[kind], 3, 1));
    i.look();
    t.ok(syncs.every(({ errno }) => errno === null));
    const punch = i.order(ORDER.PUNCH, 8, 1);
    i.settle();
    t.equal(punch.errno, 0, 'the TRIM gets rid of its claim');
    release(i.shared.claims, row, i.shared.boxes);
    while (syncs.some(({ errno }) => errno === null)) i.settle();
    t.ok(
      syncs.every(({ errno }) => errno === 0),
      'and then each of them is answered',
    );
  });
}
