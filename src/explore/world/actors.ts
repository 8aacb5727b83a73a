/** What the actors of a scenario do, each in a thread of its own. */
import { claim, release } from '../../pool/claims.ts';
import { THREAD_SHRINKER } from '../../pool/limits.ts';
import { beginWalk } from '../../protocols/entry/victim.ts';
import { SHRINK } from '../../protocols/protocol.ts';
import { pop, push, RECORD_WORDS, wake } from '../../shm/mailbox.ts';
import { admit } from '../../zswap/admission.ts';
import { Cleaning, heldSlots } from '../../zswap/cleaner.ts';
import { Flusher } from '../../zswap/flusher.ts';
import { ImageQueue } from '../../zswap/image_queue.ts';
import { answerOrder, ORDER } from '../../zswap/orders.ts';
import { SwapoffOp, swapon } from '../../zswap/swapoff_op.ts';
import type { Zswap } from '../../zswap/zswap.ts';
import { type Env, LaneLoop, Mailbox } from '../loop.ts';
import type { ActorSpec } from '../scenarios/scenario.ts';
import * as shadow from './acknowledged.ts';
import { Client } from './client.ts';
import { SimImage } from './image.ts';

/** Orders of the explorer's own: a walker's page goes to the one image queue, and swapoff has slot 0 or all copied out. */
const ORDER_WRITEBACK = 100;
const ORDER_COPY_OUT = 101;
const X = 0;
const QUEUE = { runPages: 8, syncEvery: Number.POSITIVE_INFINITY, onError: () => undefined };
const SHRINK_NAMES = Object.fromEntries(Object.entries(SHRINK).map(([name, value]) => [value, name]));
/** For the record of what was acknowledged: swapoff is a client of its own. */
const SWAPOFF_CONNECTION = 31;

export function runActor(env: Env, spec: ActorSpec): void {
  if (spec.kind === 'walker') walk(env, spec.walks, spec.mustWrite);
  else if (spec.kind === 'holder') hold(env, spec.what);
  else if (spec.kind === 'swapoff') swapOff(env, spec.swapon, spec.keep);
  else new Client(env, spec.connection).run(spec.operations);
}

/** A shrinker: walks its memcg's list and hands what it took to the image queue. */
function walk({ zswap, baton }: Env, walks: number, mustWrite: boolean): void {
  const { shared } = zswap;
  zswap.onWrite = (x, slot, buffer) => {
    push(shared.orders, Int32Array.of(ORDER_WRITEBACK, x, slot, buffer, zswap.thread, 0), zswap.thread);
    wake(shared.boxes, THREAD_SHRINKER);
  };
  beginWalk(zswap);
  for (let i = 0; i < walks; i++) {
    const result = zswap.protocols.entry.shrinkOne(zswap, 0, zswap.protocols.busy);
    baton.note(`walk ends: ${SHRINK_NAMES[result]}`);
    if (mustWrite && result === SHRINK.WRITTEN) return;
  }
  if (mustWrite) baton.violate('livelock', `${walks} walks have written nothing, and a page could be written`);
}

/** The thread that owns the image queue, and answers orders as the shrinker's does. Never returns. */
export function serveImage(env: Env): never {
  const { world, zswap, baton, scenario } = env;
  const { parallel = 1, okWrites = 0, failWrites = 0 } = scenario.image ?? {};
  const image = new SimImage(world.image, (text) => baton.note(text), {
    okWrites,
    failWrites,
    lastFirst: parallel > 1,
  });
  const queue = new ImageQueue(zswap, X, image, { ...QUEUE, parallel });
  try {
    return answerOrders(env, queue, image);
  } finally {
    // A parked page has a timer, which must not outlive its run.
    queue.close();
  }
}

function answerOrders({ zswap, baton }: Env, queue: ImageQueue, image: SimImage): never {
  const { shared } = zswap;
  zswap.onWrite = (_x, slot, buffer) => queue.push('writeback', slot, 1, buffer, null);
  const record = new Int32Array(RECORD_WORDS);
  const mailbox = new Mailbox(zswap);
  const cleanings = new Set<Cleaning>();
  const clean = (slots: ArrayLike<number>, done: (errno: number) => void): void => {
    const cleaning = new Cleaning(zswap, queue, slots, ({ errno }) => {
      cleanings.delete(cleaning);
      done(errno);
    });
    cleanings.add(cleaning);
  };
  const flusher = shared.dirty === null ? null : new Flusher(shared.dirty, X, clean);
  for (;;) {
    while (pop(shared.orders, record, shared.boxes)) {
      const [kind, , slot, n, thread, token] = record;
      const answer = (errno: number): void => answerOrder(shared, thread, token, errno);
      if (kind === ORDER_WRITEBACK) queue.push('writeback', slot, 1, n, null);
      else if (kind === ORDER.WRITE) queue.push('write', slot, 1, n, answer);
      else if (kind === ORDER.PUNCH) queue.push('punch', slot, n, 0, answer);
      else if (kind === ORDER.ZERO) queue.push('zero', slot, n, 0, answer);
      else if (kind === ORDER.SHRINK) answer(shrinkForStore(zswap, n));
      else if (kind === ORDER.FLUSH) flusher?.request(0, zswap.settings.exports[X].pages, answer);
      else if (kind === ORDER_COPY_OUT) clean(n === 1 ? heldSlots(zswap, queue) : [0], answer);
      else throw new Error(`an actor sent order ${kind}`);
    }
    flusher?.start();
    for (const cleaning of cleanings) cleaning.turn();
    queue.pump();
    if (image.complete()) continue;
    if (queue.parkedPages > 0) {
      // In service a timer does this, at any moment.
      baton.pause();
      baton.note('image: parked pages are tried again');
      queue.retryParked();
    } else mailbox.wait();
  }
}

/** Batches of one. */
function shrinkForStore(zswap: Zswap, m: number): number {
  const { entry, busy } = zswap.protocols;
  return admit(zswap, m, () => (entry.shrinkOne(zswap, m, busy) === SHRINK.WRITTEN ? 0 : 11));
}

/** Slot that a holder holds. */
const HELD = 1;

function hold({ zswap, baton }: Env, what: 'buffer' | 'pin' | 'claim'): void {
  const { claims, boxes } = zswap.shared;
  const got =
    what === 'buffer'
      ? zswap.takePage(X)
      : what === 'pin'
        ? zswap.tryPin(X, HELD)
        : claim(claims, X, HELD, HELD + 1, zswap.thread) + 1;
  baton.note(got > 0 ? `takes a ${what}` : `finds no ${what} to take`);
  if (got <= 0) return;
  baton.pause();
  if (what === 'buffer') zswap.givePage(got);
  else if (what === 'pin') zswap.unpin(got);
  else release(claims, got - 1, boxes);
  baton.note(`gives the ${what} back`);
}

/** swapoff of the export as in service. What the shrinker does there for it, the thread of the image does here. */
function swapOff(env: Env, again: boolean, keep: boolean): void {
  const { world, zswap, baton } = env;
  const { pages } = zswap.settings.exports[X];
  const loop = new LaneLoop(env);
  let ended = false;
  const host = {
    zswap,
    park: (waiting: { resume(): void }) => loop.lane.park(waiting),
    defer: (task: () => void) => loop.lane.defer(task),
    copyOut: (x: number, all: boolean, done: (errno: number) => void) =>
      loop.lane.order(ORDER_COPY_OUT, x, 0, all ? 1 : 0, done),
    punch: (x: number, first: number, count: number, done: (errno: number) => void) =>
      loop.lane.order(ORDER.PUNCH, x, first, count, done),
  };
  // With `keep` nothing is discarded: what was acknowledged stays so.
  const discarded = keep ? 1 : pages;
  for (let slot = 1; slot < discarded; slot++) shadow.beginWrite(world.shadow, slot, 0, SWAPOFF_CONNECTION);
  new SwapoffOp(host, X, keep, (errno) => {
    if (errno !== 0) throw new Error(`swapoff ends with error ${errno}`);
    ended = true;
  }).resume();
  loop.until(
    () => ended,
    () => undefined,
    () => undefined,
  );
  for (let slot = 1; slot < discarded; slot++) shadow.endWrite(world.shadow, slot, 0, SWAPOFF_CONNECTION, true);
  baton.note('swapoff ends');
  if (!again) return;
  swapon(zswap, X);
  baton.note('swapon');
}
