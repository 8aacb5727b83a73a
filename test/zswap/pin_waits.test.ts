// A block of a WRITE that waits for its slot: it has it before READs that came later, and whoever gives up leaves nothing.
import { OK, TAKEN, WAIT } from 'node-nbd-server';
import t from 'tap';
import { setBit } from '#src/pool/bits.js';
import { PAGE_SIZE } from '#src/pool/limits.js';
import { EEXIST } from '#src/pool/slots.js';
import { Bench, nothingHeld, Request } from '../support/lane.ts';
import { makePage, take } from '../support/pool.ts';

for (const part of [false, true]) {
  const name = part ? 'a part' : 'a page';
  const write = (b: Bench, request: Request) =>
    part
      ? b.volume.writePart(request, 5, 0, 10, new Uint8Array(10).fill(3), 0)
      : b.volume.write(request, 5, makePage('text', 6), 0);

  t.test(`${name} for a pinned slot waits and holds nothing`, async (t) => {
    const b = new Bench();
    const r = b.z.tryPin(0, 5);
    const request = new Request();
    t.equal(write(b, request), WAIT);
    b.look();
    t.equal(request.resumed, 0, 'as long as it is pinned');
    t.equal(write(b, request), WAIT, 'also if it is offered again by itself');
    b.z.unpin(r);
    t.equal(b.z.tryPin(0, 5), EEXIST, 'it is handed to the thread of the block');
    b.look();
    t.equal(request.resumed, 1);
    t.equal(write(b, request), OK);
    nothingHeld(t, b);
  });

  t.test(`${name} that waited has its slot before READs that came later`, async (t) => {
    const b = new Bench();
    setBit(b.z.shared.users, 0, 5);
    const dst = new Uint8Array(PAGE_SIZE);
    const read = (): Request => {
      const request = new Request();
      b.volume.read(request, 5, 1, dst, 0);
      b.run();
      return request;
    };
    read();
    const request = new Request();
    t.equal(write(b, request), WAIT);
    const later = [read(), read()];
    b.arrive();
    b.look();
    t.equal(request.resumed, 1);
    t.equal(b.reading.length, 0, 'the READs that were woken with it wait for it');
    const result = write(b, request);
    if (result === TAKEN) b.arrive();
    else t.equal(result, OK);
    b.look();
    for (const one of later) t.strictSame(one.ended, [0]);
    t.ok(Buffer.from(dst).equals(take(b.z, 5).page), 'and get the new page');
    nothingHeld(t, b);
  });

  t.test(`${name} that is given up while it waits, or when it has got its slot, holds nothing`, async (t) => {
    const b = new Bench();
    for (const waits of [true, false]) {
      const r = b.z.tryPin(0, 5);
      const request = new Request();
      t.equal(write(b, request), WAIT);
      if (waits) b.volume.cancel(request);
      b.z.unpin(r);
      b.look();
      t.equal(request.resumed, waits ? 0 : 1);
      if (!waits) {
        t.equal(b.z.tryPin(0, 5), EEXIST, 'kept for the block');
        b.volume.cancel(request);
      }
      nothingHeld(t, b);
      b.look();
      t.equal(write(b, request), OK, 'and the request may be used again');
      nothingHeld(t, b);
    }
  });
}
