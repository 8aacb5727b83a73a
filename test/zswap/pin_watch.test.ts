// Which pins are reported as stranded: one that the shrinker or main holds, waited for, the same one for 5 s of looks.
import t from 'tap';
import { createBits } from '#src/pool/bits.js';
import { createClaims } from '#src/pool/claims.js';
import { THREAD_LANE0, THREAD_MAIN, THREAD_SHRINKER } from '#src/pool/limits.js';
import { createSlotTable } from '#src/pool/slot_table.js';
import { EEXIST, Slots } from '#src/pool/slots.js';
import { createMailboxes } from '#src/shm/mailbox.js';
import { STUCK_MS } from '#src/shm/sync.js';
import { LOOK_MS, PinWatch } from '#src/zswap/pin_watch.js';

const SLOT = 5;
/** The first look only gets to know the pin. */
const LOOKS = 1 + STUCK_MS / LOOK_MS;

function table() {
  const shared = createSlotTable(8, 4);
  const boxes = createMailboxes(4);
  const claims = createClaims(4);
  const users = createBits([1000, 1000]);
  const of = (thread: number) => new Slots(shared, users, claims, boxes, thread);
  const slots = { main: of(THREAD_MAIN), shrinker: of(THREAD_SHRINKER), lane: of(THREAD_LANE0), other: of(3) };
  return { ...slots, boxes, watch: new PinWatch(shared) };
}

/** What each look says, with everything in between that happens then. */
function looks(watch: PinWatch, count: number, between: (i: number) => void = () => undefined): boolean[] {
  return Array.from({ length: count }, (_, i) => {
    const stuck = watch.look() !== null;
    between(i);
    return stuck;
  });
}

const never = (count: number): boolean[] => Array.from({ length: count }, () => false);

for (const holder of ['main', 'shrinker'] as const) {
  t.test(`a pin that ${holder} does not drop is reported, with its slot and who waits`, async (t) => {
    const { watch, lane, other, ...threads } = table();
    // Another pin, which is in nobody's way.
    threads[holder].pin(1, 7);
    threads[holder].pin(1, SLOT);
    t.equal(other.pin(1, SLOT), EEXIST);
    // Parked requests look again, whenever their lane is woken.
    t.strictSame(
      looks(watch, LOOKS - 1, () => other.pin(1, SLOT)),
      never(LOOKS - 1),
    );
    const number = holder === 'main' ? 1 : 2;
    t.strictSame(watch.look(), {
      x: 1,
      slot: SLOT,
      report: `thread 4 waited 5000 ms for a pin that thread ${number} does not drop`,
    });
  });
}

t.test('who waits for a range claim is somebody who waits', async (t) => {
  const { watch, lane, shrinker } = table();
  shrinker.pin(0, SLOT);
  t.ok(lane.isPinned(0, SLOT));
  t.strictSame(looks(watch, LOOKS).at(-1), true);
});

t.test('a lane may hold a pin for as long as its image takes', async (t) => {
  const { watch, lane, other } = table();
  const r = lane.pin(0, SLOT);
  lane.fill(r);
  other.pin(0, SLOT);
  t.strictSame(looks(watch, 3 * LOOKS), never(3 * LOOKS));
});

t.test('a pin that nobody waits for is in nobody’s way', async (t) => {
  const { watch, shrinker, lane } = table();
  shrinker.pin(0, SLOT);
  lane.tryPin(0, SLOT);
  t.strictSame(looks(watch, 3 * LOOKS), never(3 * LOOKS));
  lane.pin(0, SLOT);
  t.strictSame(looks(watch, LOOKS), [...never(LOOKS - 1), true], 'the time counts from when somebody does');
});

t.test('another pin of the same slot and thread is another pin', async (t) => {
  const { watch, shrinker, lane, boxes } = table();
  let r = shrinker.pin(0, SLOT);
  lane.pin(0, SLOT);
  const again = (): void => {
    shrinker.unpin(r);
    r = shrinker.pin(0, SLOT);
    lane.pin(0, SLOT);
  };
  t.strictSame(looks(watch, 3 * LOOKS, again), never(3 * LOOKS));
  t.equal(boxes[THREAD_LANE0], 3 * LOOKS, 'who waits is woken at each');
  t.strictSame(looks(watch, LOOKS), [...never(LOOKS - 1), true]);
});

t.test('a record that went to another slot is not taken for the old one', async (t) => {
  const { watch, shrinker, lane } = table();
  const r = shrinker.pin(0, SLOT);
  lane.pin(0, SLOT);
  looks(watch, LOOKS - 1);
  shrinker.unpin(r);
  t.equal(shrinker.pin(1, 600), r);
  t.strictSame(looks(watch, 2 * LOOKS), never(2 * LOOKS));
});

t.test('a pin that was handed to a thread which does not come for it is nobody’s fault', async (t) => {
  const { watch, lane, shrinker, other } = table();
  const r = lane.pin(0, SLOT);
  t.equal(shrinker.pinInTurn(0, SLOT), EEXIST);
  t.equal(other.pin(0, SLOT), EEXIST);
  lane.unpin(r);
  t.strictSame(looks(watch, 3 * LOOKS), never(3 * LOOKS));
  const mine = shrinker.pinInTurn(0, SLOT);
  t.ok(mine > 0);
  t.equal(other.pin(0, SLOT), EEXIST);
  t.equal(looks(watch, LOOKS).at(-1), true, 'from then on it is held');
});

t.test('the pin that a scrub holds while an image is read is not stranded, however long that takes', async (t) => {
  const { watch, other, shrinker } = table();
  const r = shrinker.pin(1, SLOT);
  other.pin(1, SLOT);
  for (let i = 0; i < 2 * LOOKS; i++) t.equal(watch.look(r), null);
  for (let i = 0; i < LOOKS - 1; i++) t.equal(watch.look(0), null);
  t.not(watch.look(0), null, 'from when it is no longer read');
});
