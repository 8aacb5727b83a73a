/**
 * The shrinker's thread, as in service: the served Shrinker over the served image queue, on a loop of the explorer's. What the
 * main thread says to it by messages comes over a ring. So do the pages that a walker of another thread has taken: kernels
 * reclaim from many threads at once, and the protocols have to bear that, although the server has one shrinker.
 */

import { ImageQueue } from '../../image/image_queue.ts';
import * as errno from '../../os/errno.ts';
import type { Loop, Timer } from '../../os/loop.ts';
import { PAGE_SIZE, THREAD_SHRINKER } from '../../pool/limits.ts';
import { NOBODY } from '../../pool/owners.ts';
import { pop, push, RECORD_WORDS, wake } from '../../shm/mailbox.ts';
import * as sync from '../../shm/sync.ts';
import { RECORD, type ReportBatch } from '../../zswap/reports.ts';
import { Scrub } from '../../zswap/scrub.ts';
import { Shrinker } from '../../zswap/shrinker.ts';
import { VOUCH } from '../../zswap/vouch.ts';
import type { Outcome } from '../../zswap/wanted.ts';
import type { Zswap } from '../../zswap/zswap.ts';
import { type Env, Mailbox, SimLoop } from '../loop.ts';
import { firstSlot } from '../scenarios/scenario.ts';
import * as shadow from './acknowledged.ts';
import { SimImage } from './image.ts';
import { describePage, pageAt, placeOf, SLOTS, versionOf, type World } from './world.ts';

const QUEUE = { runPages: 8, syncEvery: Number.POSITIVE_INFINITY, onError: () => undefined };

export const MESSAGE = {
  WALKED: 0,
  COPY_OUT: 1,
  PUNCH: 2,
  DRAIN: 3,
  RECLAIM: 4,
  WRITE_BACK: 5,
  REPORT: 6,
  SCRUB: 7,
} as const;
type Message = (typeof MESSAGE)[keyof typeof MESSAGE];

/** Sends a message about export `x` to the shrinker's thread: of WALKED slot and buffer, of COPY_OUT whether all, of PUNCH slot and count, of RECLAIM memcg and bytes, of WRITE_BACK the first slot and the end, of REPORT number and time. */
export function post(
  { messages }: World,
  { shared, thread }: Zswap,
  message: Message,
  x: number,
  a: number,
  b: number,
): void {
  if (!push(messages, Int32Array.of(message, a, b, thread, x, 0), thread)) throw new Error('too many messages');
  wake(shared.boxes, THREAD_SHRINKER);
}

/** The answer that `thread` has got, and takes: an errno, or null for none yet. */
export function takeAnswer({ answers }: World, thread: number): number | null {
  const answer = sync.load(answers, thread);
  if (answer === 0) return null;
  sync.store(answers, thread, 0);
  return answer - 1;
}

/** Never returns. */
export function runShrinker(env: Env): never {
  const { world, zswap, baton, scenario, writeback } = env;
  const { parallel = 1, ...faults } = scenario.image ?? {};
  const loop = new SimLoop();
  const lastFirst = parallel > 1;
  const options = {
    ...faults,
    lastFirst,
    onChange: () => checkKill(env),
    onTorn: (number: number) => shadow.torn(world.shadow, number),
  };
  const note = (text: string): void => baton.note(text);
  const images = zswap.settings.exports.map((_, x) => new SimImage(world.image, x, note, options));
  const queues = images.map((image, x) => new ImageQueue(zswap, x, image, { ...QUEUE, parallel, loop }));
  writeback.to = (x, slot, buffer) => queues[x].push('writeback', slot, 1, buffer, null);
  const unsettled: { x: number; done: (errno: number) => void }[] = [];
  const vouch = (x: number, done: (errno: number) => void): unknown => unsettled.push({ x, done });
  const marked = scenario.actors.some(({ kind }) => kind === 'marker');
  const shrinker = new Shrinker(zswap, queues, {
    ...{ batch: 1, release: () => undefined, loop },
    ...(marked ? { vouch } : {}),
  });
  const mailbox = new Mailbox(zswap);
  const scrubs = scenario.actors.some(({ kind }) => kind === 'scrub');
  const scrubbed = images.map((_, x) => new SimImage(world.image, x, note, { ...faults, lateReads: true }));
  const tick = scrubs ? beginScrub(zswap, scrubbed, loop) : () => undefined;
  const look = (): void => {
    receive(world, zswap, { queues, shrinker, tick });
    for (const { x, done } of unsettled.splice(0)) {
      if (sync.load(zswap.shared.vouch, x) === VOUCH.NO) done(0);
      else unsettled.push({ x, done });
    }
    shrinker.look();
  };
  for (look(); ; ) {
    if (loop.run()) continue;
    // What comes first in service nobody knows: a wake-up, the end of a call, or a timer. Who wakes us may come late as well.
    if (mailbox.woken()) look();
    else if (images.some((image) => image.complete()) || scrubbed.some((image) => image.complete())) continue;
    else if (loop.hasTimers) {
      baton.pause();
      if (mailbox.woken()) look();
      else {
        baton.note('image: parked pages are tried again');
        loop.fire();
      }
    } else {
      mailbox.wait();
      look();
    }
  }
}

/**
 * What a FLUSH has answered for is there after a kill at any moment from then on. Of what was written since the last sync any
 * part may have reached the disk, so both are asked: what that sync has left, and what the image holds now.
 */
function checkKill({ world, baton, scenario }: Env): void {
  if (scenario.strict !== true) return;
  const first = firstSlot(scenario);
  for (const [what, bytes] of [
    ['disk', world.image.durable],
    ['image', world.image.bytes],
  ] as const) {
    for (let slot = first; slot < first + SLOTS; slot++) {
      if (world.shadow.flushed[placeOf(slot)] === 0) continue;
      const page = pageAt(bytes, slot);
      if (shadow.mayLeave(world.shadow, slot, versionOf(page, slot))) continue;
      const wanted = shadow.rightVersions(world.shadow.flushed[placeOf(slot)]);
      const has = `the ${what} has ${describePage(page)}`;
      baton.violate('lost data', `a FLUSH was answered for slot ${slot}, and now ${has}, not ${wanted}`);
    }
  }
}

/** Of slot 1: it is number `n`'s, or free, since `time`. */
function reportOf(x: number, n: number, time: number): ReportBatch {
  const kinds = Uint8Array.of(n === NOBODY ? RECORD.FREE : RECORD.CHARGE);
  const [slots, counts, numbers] = [Uint32Array.of(1), Uint32Array.of(1), Uint16Array.of(n)];
  return { x, forget: false, error: 0, isAhead: false, kinds, slots, counts, numbers, times: Float64Array.of(time) };
}

interface Receiver {
  readonly queues: readonly ImageQueue[];
  readonly shrinker: Shrinker;
  /** What the scrub's timer does. */
  readonly tick: () => void;
}

/** Pages that a tick may look at: all that a scenario has. */
const SCRUB_RATE = 64 * PAGE_SIZE;

/** The served scrub, whose timer is an actor of its own. What it reads comes after what the queue writes. */
function beginScrub(zswap: Zswap, images: readonly SimImage[], loop: SimLoop): () => void {
  let tick = (): void => undefined;
  const every = (_ms: number, task: () => void): Timer => {
    tick = task;
    return { cancel: () => undefined };
  };
  const own: Loop = {
    soon: (task) => loop.soon(task),
    defer: (task) => loop.defer(task),
    after: (ms, task) => loop.after(ms, task),
    every,
  };
  new Scrub(zswap, { rate: SCRUB_RATE, loop: own, images, onUnreadable: () => undefined });
  return tick;
}

const record = new Int32Array(RECORD_WORDS);

function receive(world: World, zswap: Zswap, { queues, shrinker, tick }: Receiver): void {
  const { boxes } = zswap.shared;
  while (pop(world.messages, record, boxes)) {
    const [message, a, b, thread, x] = record;
    const answer = (errno: number): void => {
      sync.store(world.answers, thread, errno + 1);
      wake(boxes, thread);
    };
    if (message === MESSAGE.WALKED) queues[x].push('writeback', a, 1, b, null);
    else if (message === MESSAGE.COPY_OUT) shrinker.copyOut(x, a === 1, answer);
    else if (message === MESSAGE.PUNCH) shrinker.punch(x, a, b, answer);
    else if (message === MESSAGE.SCRUB) tick();
    else if (message === MESSAGE.REPORT) shrinker.reports.begin(reportOf(x, a, b), () => answer(0));
    else if (message === MESSAGE.RECLAIM) shrinker.proactive.begin(a, b, Number.POSITIVE_INFINITY, answer);
    else if (message === MESSAGE.WRITE_BACK) {
      const wanted = { x, huge: false, unusedSince: null, slots: [[a, b]] as const };
      const done = (outcome: Outcome): void => answer(outcome === 'done' ? 0 : errno.EAGAIN);
      shrinker.onDemand.begin(wanted, Number.POSITIVE_INFINITY, done);
    } else
      shrinker.drain(
        x,
        () => undefined,
        ({ errno }) => answer(errno),
      );
  }
}
