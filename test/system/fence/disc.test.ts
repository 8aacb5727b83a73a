/**
 * A client that says DISC and closes meant all that it sent before: it is done, even if the image stands still, the
 * socket is paused and nobody is there to read a reply. One that closes without DISC keeps what was acknowledged.
 *
 * Seen to fail without the DISC rule: with PeerFence.promise() answering false, WRITEs in front of the DISC are dropped.
 *
 * A plain run has WRITEs of one page, and of as many as need several buffers; those of four are for ZSWAPD_LONG=1.
 */
import t, { type Test } from 'tap';
import { until } from '../../support/until.ts';
import { noise, PAGE, type Peer, text } from './peer.ts';
import { SETTINGS, type StalledServer, stallMissing, startStalled } from './stalled_server.ts';

const HOP = 1;
const FIRST = 16;
const WRITES = 16;

const skip = stallMissing();
const LONG = process.env.ZSWAPD_LONG === '1';

/** The image stands still, with the slot HOP pinned by a write that it does not answer. */
async function stall(s: StalledServer): Promise<Peer> {
  const holder = await s.connect();
  await s.pause();
  await holder.send(holder.write(HOP, noise(1)));
  await s.reached('reject_compress_poor', 1);
  return holder;
}

const page = (round: number, i: number, pages: number): Buffer => text(`round ${round} write ${i}`, pages);

function sixteen(peer: Peer, pages: number, round = 0): Buffer[] {
  return Array.from({ length: WRITES }, (_, i) => peer.write(FIRST + i * pages, page(round, i, pages)));
}

async function expectSixteen(t: Test, s: StalledServer, pages: number, round = 0): Promise<void> {
  const client = await s.server.connect();
  for (let i = 0; i < WRITES; i++) {
    const found = await client.read((FIRST + i * pages) * PAGE, pages * PAGE);
    t.ok(found.equals(page(round, i, pages)), `write ${i} of ${pages} pages`);
  }
  await client.disconnect();
}

for (const setting of SETTINGS) {
  const name = `${setting.transport}, ${setting.lanes} lanes`;

  for (const pages of LONG ? [1, 4] : [1]) {
    const title = `${name}: 16 WRITEs of ${pages} pages, DISC and close while the image stands still`;
    t.test(title, { skip }, async (t) => {
      const s = await startStalled(t, setting);
      const holder = await stall(s);
      const leaver = await s.connect();
      const parks = await s.counter('parks');
      await leaver.send(leaver.write(HOP, text('last', 1)), ...sixteen(leaver, pages), leaver.disc());
      await s.reached('parks', parks + 1);
      await leaver.close();
      await s.resume();
      await holder.answered(1);
      await s.left(1);
      await expectSixteen(t, s, pages);
      t.match(await s.server.stop(), { code: 0 });
    });
  }

  t.test(`${name}: more than all buffers hold, DISC and close`, { skip }, async (t) => {
    const s = await startStalled(t, setting);
    const holder = await stall(s);
    const leaver = await s.connect();
    const parks = await s.counter('parks');
    const sent = leaver.send(leaver.write(HOP, text('last', 1)), ...sixteen(leaver, 256), leaver.disc());
    await s.reached('parks', parks + 1);
    await s.resume();
    await sent;
    // TCP answers a close before the last reply with a reset, which takes back what is still on its way.
    leaver.socket.end();
    await s.left(1);
    await holder.answered(1);
    await expectSixteen(t, s, 256);
    t.match(await s.server.stop(), { code: 0 });
  });

  t.test(`${name}: a client in a hurry, again and again`, { skip }, async (t) => {
    const s = await startStalled(t, setting);
    for (let round = 1; round <= 10; round++) {
      const leaver = await s.connect();
      await leaver.send(...sixteen(leaver, 2, round), leaver.disc());
      // A TCP close with replies unread is a reset, which takes back what this side's kernel has not sent yet.
      if (setting.transport === 'tcp') await until(() => leaver.acknowledged());
      await leaver.close();
      await s.left(0);
      await expectSixteen(t, s, 2, round);
      await s.left(0);
    }
    t.match(await s.server.stop(), { code: 0 });
  });

  t.test(`${name}: what is acknowledged is kept, also without DISC`, { skip }, async (t) => {
    const s = await startStalled(t, setting);
    for (let n = 1; n <= WRITES; n++) {
      const leaver = await s.connect();
      await leaver.send(...sixteen(leaver, 2, n));
      await leaver.answered(n);
      const answered = [...leaver.answers.keys()];
      await leaver.close();
      await s.left(0);
      const client = await s.server.connect();
      for (const i of answered) {
        const found = await client.read((FIRST + i * 2) * PAGE, 2 * PAGE);
        t.ok(found.equals(page(n, i, 2)), `write ${i}`);
      }
      await client.disconnect();
      await s.left(0);
    }
    t.match(await s.server.stop(), { code: 0 });
  });
}

for (const lanes of [0, 2] as const) {
  t.test(`tcp, ${lanes} lanes: more than a MiB unread in the kernel, DISC and close`, { skip }, async (t) => {
    const s = await startStalled(t, { transport: 'tcp', lanes });
    const leaver = await s.connect();
    // The kernel's receive buffer grows with what is read from it.
    for (let i = 0; i < 100; i++) await leaver.done(leaver.write(1024, text('grow', 256)));
    const holder = await stall(s);
    const parks = await s.counter('parks');
    await leaver.send(leaver.write(HOP, text('last', 1)), ...sixteen(leaver, 24), leaver.disc());
    await s.reached('parks', parks + 1);
    await until(() => leaver.acknowledged());
    await leaver.close();
    await s.resume();
    await holder.answered(1);
    await s.left(1);
    await expectSixteen(t, s, 24);
    t.match(await s.server.stop(), { code: 0 });
  });
}
