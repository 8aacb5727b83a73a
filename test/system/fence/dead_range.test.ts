/**
 * A TRIM or WRITE_ZEROES over gigabytes goes slice by slice. One whose connection ended while a slice waited for a pin
 * must leave the later slices alone: somebody may have written there, and had an answer.
 *
 * Seen to fail without the fence: with Transmission.fenced() answering false the range goes on, and NEW reads as zeros.
 *
 * The two commands are one range operation, and whether the socket is paused is decided before it: a plain run has each of the
 * two in each setting, the trim read on and the zeroes paused, ZSWAPD_LONG=1 their other pairs.
 */
import t from 'tap';
import { noise, PAGE, type Peer, text } from './peer.ts';
import { SETTINGS, type StalledServer, stallMissing, startStalled } from './stalled_server.ts';

const FIRST = 5;
const MIDDLE = 500_000;
const LATE = 1_000_000;
const LATE_PAGES = 3;
/** The longest range that a request can name and that is whole pages. */
const RANGE_BYTES = 2 ** 32 - PAGE;
const FILLER_PAGES = 64;
const PAUSED_BYTES = 225 * 1024;

const skip = stallMissing();
const LONG = process.env.ZSWAPD_LONG === '1';

const KINDS = [
  ['trim', 'trims'],
  ['zero', 'write_zeroes'],
] as const;

/** Slots are in use all over the range, and the pin of the first is held by a write that the image does not answer. */
async function stall(s: StalledServer): Promise<Peer> {
  const holder = await s.connect();
  for (const slot of [FIRST, MIDDLE, LATE]) await holder.done(holder.write(slot, text('first', LATE_PAGES)));
  await s.pause();
  await holder.send(holder.write(FIRST, noise(1)));
  await s.reached('reject_compress_poor', 1);
  return holder;
}

for (const setting of SETTINGS) {
  const name = `${setting.transport}, ${setting.lanes} lanes`;

  for (const [what, counter] of KINDS) {
    for (const paused of [false, true]) {
      if (!LONG && paused !== (what === 'zero')) continue;
      const title = `${name}: a dead ${what} of 4 GiB${paused ? ', socket paused' : ''}`;
      t.test(title, { skip }, async (t) => {
        const s = await startStalled(t, setting, 4096);
        const holder = await stall(s);
        const old = await s.connect();
        const fresh = await s.connect();
        const before = await s.counter('bytes_in');
        const parks = await s.counter('parks');
        await old.send(old[what](0, RANGE_BYTES));
        await s.reached(counter, 1);
        await s.reached('parks', parks + 1);
        if (paused) {
          // The WRITE waits for the range to leave its slot, so the server reads on only until its buffer is full.
          await old.send(old.write(FIRST + 1, text('OLD', FILLER_PAGES)));
          await s.reached('bytes_in', before + PAUSED_BYTES);
        }
        await old.close();
        if (!paused) await s.left(2);
        await fresh.done(fresh.write(LATE, text('NEW', LATE_PAGES)));
        await s.resume();
        await holder.answered(4);
        if (paused) await s.left(2);
        // A stop waits for whatever is still under way, and then the image says it all.
        t.match(await s.server.stop(), { code: 0 });
        t.ok(s.image(LATE, LATE_PAGES).equals(text('NEW', LATE_PAGES)), 'the newer write');
        t.ok(s.image(MIDDLE, LATE_PAGES).equals(text('first', LATE_PAGES)), 'later slices are dropped');
      });
    }
  }

  t.test(`${name}: dead zeroes with ragged edges`, { skip }, async (t) => {
    const s = await startStalled(t, setting);
    const holder = await s.connect();
    const old = await s.connect();
    const fresh = await s.connect();
    await s.pause();
    await holder.send(holder.write(FIRST, noise(1)));
    await s.reached('reject_compress_poor', 1);
    const parks = await s.counter('parks');
    // No whole page lies between the two edges: the second follows the first at once.
    await old.send(old.zero(FIRST * PAGE + PAGE / 2, PAGE));
    await s.reached('parks', parks + 1);
    await old.close();
    await fresh.done(fresh.write(FIRST + 1, text('NEW', 1)));
    const waiting = await s.counter('parks');
    await fresh.send(fresh.write(FIRST, text('NEW', 1)));
    await s.reached('parks', waiting + 1);
    await s.resume();
    await holder.answered(1);
    await fresh.answered(2);
    t.match(await s.server.stop(), { code: 0 });
    t.ok(s.image(FIRST, 2).equals(Buffer.concat([text('NEW', 1), text('NEW', 1)])));
  });
}
