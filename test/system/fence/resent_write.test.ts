/**
 * Linux gives a timed-out request up with its socket and sends it again over another one. The server still has the first
 * copy, somewhere: it waits, or lies in the receive buffer, or unread in the kernel behind a paused socket. Whatever the
 * image did meanwhile, it must not land after something newer was acknowledged.
 *
 * The old copy is one long WRITE, because a reply to anything before it would find the socket closed, and end it.
 *
 * Seen to fail without the fence: with PeerFence.gone() answering false, OLD is what the slots read. The TRIM fails
 * when StoreOp does not mark its slot as used, the full receive buffer without Arrivals.catchUp().
 */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { noise, PAGE, type Peer, text } from './peer.ts';
import { SETTINGS, type StalledServer, stallMissing, startStalled } from './stalled_server.ts';

/** The old WRITE is for these slots: it waits for the first of them. */
const HOP = 100;
const CONTESTED = 101;
const FILLER = 102;
/** With what is in front of them, enough to fill the receive buffer of 256 KiB: LATE lies behind it, unread. */
const FILLER_PAGES = 62;
const LATE = FILLER + FILLER_PAGES;
const LATE_PAGES = 4;
const OLD_PAGES = LATE + LATE_PAGES - HOP;
/** The receive buffer is that full when the server stops reading. */
const PAUSED_BYTES = 225 * 1024;
/** Operations that the image does one by one between CONTESTED and HOP: who waits for HOP comes late. */
const BETWEEN = 16;
const TRIMMED = 300;

const skip = stallMissing();

/** The image stands still, with HOP and CONTESTED pinned by writes that it does not answer. */
async function stall(s: StalledServer): Promise<Peer> {
  const holder = await s.connect();
  await holder.done(holder.write(TRIMMED, text('used', BETWEEN)));
  await s.pause();
  await holder.send(holder.write(CONTESTED, noise(1)));
  await s.reached('image_runs', 1);
  await holder.send(...Array.from({ length: BETWEEN }, (_, i) => holder.trim((TRIMMED + i) * PAGE, PAGE)));
  await s.reached('trims', BETWEEN);
  await holder.send(holder.write(HOP, noise(1)));
  await s.reached('reject_compress_poor', 2);
  return holder;
}

/** Sends the old WRITE until the server has stopped reading, and closes. */
async function pausedAtTheClose(s: StalledServer): Promise<void> {
  const old = await s.connect();
  const before = await s.counter('bytes_in');
  await old.send(old.write(HOP, text('OLD', OLD_PAGES)));
  await s.reached('bytes_in', before + PAUSED_BYTES);
  await old.close();
}

for (const setting of SETTINGS) {
  const name = `${setting.transport}, ${setting.lanes} lanes`;

  t.test(`${name}: a socket paused at the close`, { skip }, async (t) => {
    const s = await startStalled(t, setting);
    const holder = await stall(s);
    await pausedAtTheClose(s);
    const fresh = await s.connect();
    const other = await s.connect();
    const parks = await s.counter('parks');
    await fresh.send(fresh.write(CONTESTED, text('NEW', 1)));
    await s.reached('parks', parks + 1);
    await other.done(other.write(LATE, text('NEW', LATE_PAGES)));
    await s.resume();
    await fresh.answered(1);
    await holder.answered(BETWEEN + 3);
    await s.left(3);

    const client = await s.server.connect();
    t.ok((await client.read(CONTESTED * PAGE, PAGE)).equals(text('NEW', 1)), 'the slot for which both waited');
    const late = await client.read(LATE * PAGE, LATE_PAGES * PAGE);
    t.ok(late.equals(text('NEW', LATE_PAGES)), 'the slots whose old bytes were unread in the kernel');
    const filler = await client.read(FILLER * PAGE, FILLER_PAGES * PAGE);
    t.ok(filler.equals(Buffer.alloc(FILLER_PAGES * PAGE)), 'the slots whose old bytes lay in the receive buffer');
    t.ok((await s.counter('fenced_units')) > 0, 'what was dropped is counted');
    await client.disconnect();
    t.match(await s.server.stop(), { code: 0 });
  });

  t.test(`${name}: sent again, then written and trimmed anew`, { skip }, async (t) => {
    const s = await startStalled(t, setting);
    const holder = await stall(s);
    await pausedAtTheClose(s);
    const fresh = await s.connect();
    const other = await s.connect();
    const copy = text('OLD', OLD_PAGES);
    await fresh.done(fresh.write(LATE, copy.subarray(-LATE_PAGES * PAGE)));
    await fresh.done(fresh.write(LATE, text('NEW', 1)));
    // The same WRITE again waits for the same slot as the first copy; the TRIM is answered when the image has the hole.
    const parks = await s.counter('parks');
    await other.send(other.write(HOP, copy.subarray(0, 2 * PAGE)), other.write(CONTESTED, text('NEW', 1)));
    await s.reached('parks', parks + 1);
    await fresh.send(fresh.trim((LATE + 1) * PAGE, PAGE));
    await s.reached('trims', BETWEEN + 1);
    await s.resume();
    await fresh.answered(3);
    await other.answered(2);
    await holder.answered(BETWEEN + 3);
    await s.left(3);

    const client = await s.server.connect();
    const pair = Buffer.concat([copy.subarray(0, PAGE), text('NEW', 1)]);
    t.ok((await client.read(HOP * PAGE, 2 * PAGE)).equals(pair), 'the second copy, and what came after it');
    const late = Buffer.concat([text('NEW', 1), Buffer.alloc(PAGE), copy.subarray(-2 * PAGE)]);
    t.ok((await client.read(LATE * PAGE, LATE_PAGES * PAGE)).equals(late), 'written, and trimmed, after all');
    await client.disconnect();
    t.match(await s.server.stop(), { code: 0 });
  });
}

for (const lanes of [0, 2] as const) {
  t.test(`${lanes} lanes: a WRITE, and a TRIM, wait for a first copy that the image has`, { skip }, async (t) => {
    const s = await startStalled(t, { transport: 'unix', lanes });
    const old = await s.connect();
    const fresh = await s.connect();
    const other = await s.connect();
    const copy = randomBytes(PAGE);
    // Two slots that nobody uses, so that a TRIM might think there is nothing to do.
    await other.done(other.trim(0, 1024 * PAGE));
    await s.pause();
    await old.send(old.write(CONTESTED, copy), old.write(TRIMMED, copy));
    await s.reached('reject_compress_poor', 2);
    await old.close();
    await s.left(2);
    const parks = await s.counter('parks');
    const trimmed = other.done(other.trim(TRIMMED * PAGE, PAGE));
    await Promise.race([trimmed, s.reached('parks', parks + 1)]);
    const more = await s.counter('parks');
    const written = fresh.done(fresh.write(CONTESTED, copy), fresh.write(CONTESTED, text('NEW', 1)));
    await s.reached('parks', more + 1);
    t.equal(fresh.answers.size, 0, 'the WRITE waits for the first copy');
    t.equal(other.answers.size, 1, 'and so does the second TRIM');
    await s.resume();
    await Promise.all([trimmed, written]);
    const client = await s.server.connect();
    t.ok((await client.read(CONTESTED * PAGE, PAGE)).equals(text('NEW', 1)));
    t.ok((await client.read(TRIMMED * PAGE, PAGE)).equals(Buffer.alloc(PAGE)));
    await client.disconnect();
    t.match(await s.server.stop(), { code: 0 });
  });
}

for (const lanes of [0, 2] as const) {
  t.test(
    `tcp, ${lanes} lanes: the end of the connection is stuck behind a full receive buffer`,
    { skip },
    async (t) => {
      const s = await startStalled(t, { transport: 'tcp', lanes });
      const holder = await s.connect();
      const old = await s.connect();
      const fresh = await s.connect();
      await s.pause();
      await holder.send(holder.write(HOP, noise(1)));
      await s.reached('reject_compress_poor', 1);
      const parks = await s.counter('parks');
      const before = await s.counter('bytes_in');
      // The kernel on our side holds part of it, and sends its FIN when the rest is out.
      await old.send(old.write(HOP, text('OLD', 512)));
      await s.reached('parks', parks + 1);
      await s.reached('bytes_in', before + PAUSED_BYTES);
      await old.close();
      await fresh.done(fresh.write(FILLER, text('NEW', FILLER_PAGES)));
      // A pause counts as long after 500 ms, whoever else is slow: the socket was paused before this begins.
      await new Promise((resolve) => setTimeout(resolve, 600));
      await s.resume();
      await holder.answered(1);
      await s.left(2);
      const client = await s.server.connect();
      const filler = await client.read(FILLER * PAGE, FILLER_PAGES * PAGE);
      t.ok(filler.equals(text('NEW', FILLER_PAGES)));
      await client.disconnect();
      t.match(await s.server.stop(), { code: 0 });
    },
  );
}
