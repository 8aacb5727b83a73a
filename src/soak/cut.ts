/**
 * A connection that ends with WRITEs under way, as when Linux gives a time-out up: some of them are sent again over another
 * connection at once, some are replaced by newer ones there, the rest is left as it is. Nothing of the old connection may land
 * after that. The slots stay locked for a while, so that what lands late is seen.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { NbdClient } from 'node-nbd-server';
import type { Hand } from './hand.ts';
import { type Link, type Outcome, outcomeOf } from './link.ts';
import type { Prepared } from './operations.ts';
import { PAGE } from './page.ts';
import type { Range } from './picker.ts';

/**
 * WRITEs of one such connection, and slots of each at most. Some 200 KiB go into a socket at once and are with the server when
 * the connection ends; of more the rest has not left.
 */
const WRITES = 48;
const SLOTS = [1, 2, 16] as const;
/** Before it ends; 0: as soon as it was sent. */
const CUT_WITHIN_MS = [0, 0, 1, 4] as const;
/** What lands late lands within this, if it does. */
const LATE_MS = [10, 120] as const;

interface Sent {
  readonly write: Prepared;
  readonly ended: Promise<Outcome>;
}

export async function cut(hand: Hand): Promise<void> {
  const { world, operations, picker, random, writer } = hand;
  let client: NbdClient;
  try {
    client = await world.links.connect(WRITES);
  } catch {
    // Whoever keeps a link tells that nobody can connect.
    return;
  }
  const ranges: Range[] = [];
  try {
    const sent: Sent[] = [];
    const most = SLOTS[random.below(SLOTS.length)];
    for (let i = 0; i < WRITES; i++) {
      const range = picker.lock(1 + random.below(most));
      if (range === null) continue;
      ranges.push(range);
      const write = operations.prepare(range, writer);
      const request = async (): Promise<undefined> => {
        await client.write(write.slot * PAGE, write.payload);
        return undefined;
      };
      sent.push({ write, ended: outcomeOf(request()) });
    }
    await new Promise((resolve) => setImmediate(resolve));
    const within = CUT_WITHIN_MS[random.below(CUT_WITHIN_MS.length)];
    if (within > 0) await delay(random.below(within));
    client.destroy();
    world.ledger.cuts++;
    await after(hand, sent);
  } finally {
    client.destroy();
    for (const range of ranges) picker.unlock(range);
  }
}

/** From the last one back: that is the one that the server is the latest with. */
async function after(hand: Hand, sent: readonly Sent[]): Promise<void> {
  const { world, operations, random, writer } = hand;
  const again: Promise<unknown>[] = [];
  for (const { write, ended } of [...sent].reverse()) {
    const outcome = await ended;
    operations.wrote(write, outcome);
    if (outcome.end === 'failed')
      world.ledger.failed('write', outcome.code, { link: -1, ...write, beganMs: performance.now() });
    if (outcome.end !== 'unanswered') continue;
    world.ledger.unanswered('write', true);
    const link = await world.links.pick(random);
    if (link === null) return;
    const dice = random.below(4);
    if (dice === 0) again.push(resend(hand, write, link));
    else if (dice < 3) again.push(operations.write(operations.prepare(write, writer), link, random, true));
  }
  await Promise.all(again);
  await delay(LATE_MS[0] + random.below(LATE_MS[1] - LATE_MS[0]));
  for (const { write } of sent) {
    const link = await world.links.pick(random);
    if (link === null) return;
    await operations.readAndVerify({ slot: write.slot, count: write.count }, link);
  }
}

async function resend({ operations, world, random }: Hand, write: Prepared, link: Link): Promise<void> {
  const outcome = await operations.resend(write, link);
  if (outcome.end !== 'unanswered') return;
  const other = await world.links.pick(random, link);
  if (other !== null) await operations.resend(write, other);
}
