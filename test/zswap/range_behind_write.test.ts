// A TRIM or WRITE_ZEROES behind a WRITE that its device has taken and not settled: it comes after it. (What comes behind a range
// is for the connection to hold back, and so is all that comes behind a WRITE that waits: test/nbd/transmission_ranges.test.ts.)
import { TAKEN } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { setBit } from '#src/pool/bits.js';
import { ORDER } from '#src/zswap/orders.js';
import { Bench, nothingHeld, Request } from '../support/lane.ts';
import { makePage } from '../support/pool.ts';
import { claims, PAGES, punchAll, trim, zero } from '../support/ranges.ts';

const SLOT = 5;
/** Rejects pages of noise. */
const bench = (): Bench => new Bench({ exports: [{ name: 'a', pages: PAGES, memcg: 0 }], storeIncompressible: false });

const RANGES = {
  'a TRIM': (b: Bench) => trim(b, 0, PAGES),
  WRITE_ZEROES: (b: Bench) => zero(b, 0, PAGES, false),
  'WRITE_ZEROES that keeps its room': (b: Bench) => zero(b, SLOT, SLOT + 1, true),
};

/** The WRITE has ended; the range goes on, and leaves nothing of it. */
function goesOn(t: Test, b: Bench, write: Request, range: Request): void {
  t.strictSame(write.ended, [0]);
  b.look();
  t.strictSame(range.ended, [], 'it waits for its punch');
  t.equal(punchAll(b).length, 1);
  t.strictSame(range.ended, [0]);
  t.equal(claims(b), 0);
  nothingHeld(t, b);
}

for (const [name, range] of Object.entries(RANGES)) {
  t.test(`${name} behind a page that is on its way to the image comes after it`, (t) => {
    const b = bench();
    const write = new Request();
    t.equal(b.volume.write(write, SLOT, makePage('random', 1), 0), TAKEN);
    const [toImage] = b.orders();
    t.equal(toImage.kind, ORDER.WRITE);
    const later = range(b);
    t.strictSame(later.ended, [], 'although nobody used the slot before');
    t.strictSame(b.orders(), []);
    b.answer(toImage);
    goesOn(t, b, write, later);
    t.end();
  });

  t.test(`${name} behind a part whose base the image has comes after it`, (t) => {
    const b = bench();
    setBit(b.z.shared.users, 0, SLOT);
    b.pages.set(SLOT, makePage('text', 1));
    const write = new Request();
    t.equal(b.volume.writePart(write, SLOT, 0, 10, new Uint8Array(10).fill(3), 0), TAKEN);
    const later = range(b);
    t.strictSame([later.ended, b.orders()], [[], []]);
    b.arrive();
    goesOn(t, b, write, later);
    t.equal(b.z.shared.lru.count[0], 0, 'the merged page has left the pool');
    t.end();
  });
}
