/** What the actors of a scenario do, each in a thread of its own. */
import { allocatorOf, RECLAIM } from '../../pool/allocator/index.ts';
import { claim, noClaim, release } from '../../pool/claims.ts';
import { enter, STATE } from '../../pool/export_state.ts';
import { PAGE_SIZE, THREAD_SHRINKER } from '../../pool/limits.ts';
import { CELL, countOf, currentOf, pathOf } from '../../pool/memcg.ts';
import { MemcgTree } from '../../pool/memcg_tree.ts';
import { WORK } from '../../pool/shared.ts';
import { beginWalk } from '../../protocols/entry/victim.ts';
import { shrinkPage } from '../../protocols/lru/pages.ts';
import { SHRINK } from '../../protocols/protocol.ts';
import { wake } from '../../shm/mailbox.ts';
import * as sync from '../../shm/sync.ts';
import { mayEvictOf } from '../../zswap/may_evict.ts';
import { requestWork } from '../../zswap/orders.ts';
import { STORED, store } from '../../zswap/store.ts';
import { SwapoffOp, swapon } from '../../zswap/swapoff_op.ts';
import { type Discarded, punchAgain } from '../../zswap/swapoff_punch.ts';
import { VOUCH } from '../../zswap/vouch.ts';
import type { Zswap } from '../../zswap/zswap.ts';
import { type Env, LaneLoop } from '../loop.ts';
import { type ActorSpec, firstSlot } from '../scenarios/scenario.ts';
import * as shadow from './acknowledged.ts';
import { endAgentsCgroup, tell, walkedRow } from './agent.ts';
import { Client } from './client.ts';
import { MESSAGE, post, takeAnswer } from './shrinker.ts';
import {
  describePage,
  fillPage,
  NEW_MEMCG,
  PARENT_ROW,
  pageAt,
  placeOf,
  rowOf,
  SLOTS,
  versionOf,
  type World,
} from './world.ts';

const X = 0;
const SHRINK_NAMES = Object.fromEntries(Object.entries(SHRINK).map(([name, value]) => [value, name]));
const RECLAIM_NAMES = Object.fromEntries(Object.entries(RECLAIM).map(([name, value]) => [value, name]));
/** For the record of what was acknowledged: swapoff is a client of its own. */
const SWAPOFF_CONNECTION = 31;

export function runActor(env: Env, spec: ActorSpec): void {
  if (spec.kind === 'walker') walk(env, spec);
  else if (spec.kind === 'holder') hold(env, spec.what);
  else if (spec.kind === 'swapoff') swapOff(env, spec.swapon, spec.keep);
  else if (spec.kind === 'stop') stop(env);
  else if (spec.kind === 'offline') goOffline(env);
  else if (spec.kind === 'marker') distrustMarker(env);
  else if (spec.kind === 'scrub') post(env.world, env.zswap, MESSAGE.SCRUB, X, 0, 0);
  else if (spec.kind === 'agent') tell(env, spec);
  else if (spec.kind === 'gone') endAgentsCgroup(env);
  else if (spec.kind === 'reclaim') reclaimBytes(env, spec.bytes);
  else if (spec.kind === 'write-back') writeBack(env, spec.first, spec.end);
  else if (spec.kind === 'storer') storeLate(env, spec.slot, spec.version);
  else if (spec.kind === 'compactor') compact(env);
  else if (spec.kind === 'pressure') requestWork(env.zswap.shared, WORK.POOL);
  else {
    new Client(env, spec.connection, spec.x ?? 0).run(spec.operations);
    if (env.scenario.actors.some(({ kind }) => kind === 'stop')) sync.add(env.zswap.shared.clients, X, -1);
  }
}

/** Reclaim from a thread of its own: walks its memcg's list and hands what it took to the image queue. */
function walk(
  { world, zswap, baton, scenario, writeback }: Env,
  { walks, mustWrite, memcg = 0 }: Extract<ActorSpec, { kind: 'walker' }>,
): void {
  writeback.to = (x, slot, buffer) => post(world, zswap, MESSAGE.WALKED, x, slot, buffer);
  beginWalk(zswap);
  const mayEvict = mayEvictOf(zswap.shared);
  for (let i = 0; i < walks; i++) {
    if (zswap.protocols.lru === 'allocator') {
      const result = shrinkPage(zswap, mayEvict);
      baton.note(`reclaim ends: ${RECLAIM_NAMES[result]}`);
      if (mustWrite && result === RECLAIM.FREED) return;
      continue;
    }
    const m = scenario.agent === true ? walkedRow(zswap, i) : rowOf(scenario, memcg);
    const result = zswap.protocols.entry.shrinkOne(zswap, m, zswap.protocols.busy);
    baton.note(`walk ends: ${SHRINK_NAMES[result]}`);
    if (mustWrite && result === SHRINK.WRITTEN) return;
  }
  if (mustWrite) baton.violate('livelock', `${walks} walks have written nothing, and a page could be written`);
}

/** What the main thread does with the tree of memcgs, and with a row as soon as it is free. */
function goOffline({ zswap, baton }: Env): void {
  const tree = new MemcgTree(zswap.shared, zswap.thread);
  const path = pathOf(zswap.memcgs, zswap.memcgs.ofExport[X]);
  const parent = path.slice(0, path.lastIndexOf('/'));
  tree.attach(X, parent);
  tree.offline(path);
  baton.note(`${path} is offline`);
  tree.reap();
  tree.create(`${parent}/${NEW_MEMCG}`);
}

/**
 * memory.reclaim of the memcg that all are below, as a client of the control socket asks for it. Where less has left than was
 * asked for, there must be nothing that could: pages of the subtree stay in it, whatever goes offline.
 */
function reclaimBytes({ world, zswap, baton, scenario }: Env, bytes: number): void {
  const { memcgs } = zswap.shared;
  const had = currentOf(memcgs, PARENT_ROW);
  const errno = askShrinker(world, zswap, MESSAGE.RECLAIM, PARENT_ROW, bytes);
  const written = countOf(memcgs, PARENT_ROW, CELL.PROACTIVE);
  baton.note(`${written} bytes were written back, answer ${errno}`);
  if (written > had) baton.violate('charge', `${written} bytes are said to have left, and there were ${had}`);
  if (errno === 0 && written < bytes) baton.violate('charge', `${written} bytes have left, and not ${bytes}`);
  const alone = !scenario.actors.some(({ kind }) => kind === 'walker');
  const left = currentOf(memcgs, PARENT_ROW);
  if (errno !== 0 && alone && left > 0)
    baton.violate('livelock', `${left} bytes could leave, and nothing more is tried`);
}

/** What the main thread does with the marker (server/vouching.ts), which those wait for who answer a FLUSH. */
function distrustMarker({ zswap, baton }: Env): void {
  const { vouch, boxes } = zswap.shared;
  sync.retry(vouch, X, VOUCH.YES);
  sync.store(vouch, X, VOUCH.NO);
  baton.note('the marker vouches for nothing any more');
  wake(boxes, THREAD_SHRINKER);
}

/** As a client of the control socket asks for pages of an export. It is answered when the image has what was written. */
function writeBack({ world, zswap, baton }: Env, first: number, end: number): void {
  const answer = askShrinker(world, zswap, MESSAGE.WRITE_BACK, first, end);
  baton.note(`the writeback is answered with ${answer}`);
}

/** Waits for the answer. */
function askShrinker(
  world: World,
  zswap: Zswap,
  message: typeof MESSAGE.RECLAIM | typeof MESSAGE.WRITE_BACK,
  a: number,
  b: number,
): number {
  const { boxes } = zswap.shared;
  let seen = sync.load(boxes, zswap.thread);
  post(world, zswap, message, X, a, b);
  for (;;) {
    const errno = takeAnswer(world, zswap.thread);
    if (errno !== null) return errno;
    sync.retry(boxes, zswap.thread, seen);
    seen = sync.load(boxes, zswap.thread);
  }
}

/** A connection that no client has. */
const STORER_CONNECTION = 30;

function storeLate({ world, zswap, baton }: Env, slot: number, version: number): void {
  const page = new Uint8Array(PAGE_SIZE);
  fillPage(page, slot, version);
  const { boxes } = zswap.shared;
  for (;;) {
    const seen = sync.load(boxes, zswap.thread);
    const r = zswap.pin(X, slot);
    if (r > 0) {
      // As in store(), but that the look is a scheduling point.
      const m = sync.load(zswap.memcgs.ofExport, X);
      shadow.beginWrite(world.shadow, slot, version, STORER_CONNECTION);
      const result = store(zswap, X, slot, page, 0, true, r, m);
      if (result !== STORED) throw new Error(`the store of slot ${slot} answers ${result}`);
      zswap.slots.dropPage(r);
      shadow.endWrite(world.shadow, slot, version, STORER_CONNECTION, true);
      zswap.unpin(r);
      baton.note(`slot ${slot} is stored`);
      return;
    }
    sync.retry(boxes, zswap.thread, seen);
  }
}

/** Slot that a holder holds. */
const HELD = 1;

function hold({ zswap, baton }: Env, what: 'buffer' | 'pin' | 'claim'): void {
  const { claims, boxes } = zswap.shared;
  const held = noClaim();
  const got =
    what === 'buffer'
      ? zswap.takePage(X)
      : what === 'pin'
        ? zswap.tryPin(X, HELD)
        : Number(claim(claims, X, HELD, HELD + 1, zswap.thread, held));
  baton.note(got > 0 ? `takes a ${what}` : `finds no ${what} to take`);
  if (got > 0) baton.pause();
  // Of a claim that does not stand there is a place in line to give back.
  if (what === 'claim') release(claims, held, boxes);
  if (got <= 0) return;
  if (what === 'buffer') zswap.givePage(got);
  else if (what === 'pin') zswap.unpin(got);
  baton.note(`gives the ${what} back`);
}

function compact({ zswap, baton }: Env): void {
  const { zs } = zswap.shared;
  const { total, pageBytes } = allocatorOf(zs);
  const freed = zswap.objects.compact(total(zs) / pageBytes);
  baton.note(`compaction frees ${freed} zspages`);
}

/** swapoff of the export as in service; what the image refuses to forget is asked for again. */
function swapOff(env: Env, again: boolean, keep: boolean): void {
  const { world, zswap, baton } = env;
  const { pages } = zswap.settings.exports[X];
  const loop = new LaneLoop(env);
  let ended = false;
  let asked: ((errno: number) => void) | null = null;
  const ask = (
    message: typeof MESSAGE.COPY_OUT | typeof MESSAGE.PUNCH,
    a: number,
    b: number,
    done: typeof asked,
  ): void => {
    asked = done;
    post(world, zswap, message, X, a, b);
  };
  const host = {
    zswap,
    park: (waiting: { resume(): void }) => loop.lane.park(waiting),
    defer: (task: () => void) => loop.lane.loop.soon(task),
    copyOut: (_x: number, all: boolean, done: (errno: number) => void) => ask(MESSAGE.COPY_OUT, all ? 1 : 0, 0, done),
    punch: (_x: number, first: number, count: number, done: (errno: number) => void) =>
      ask(MESSAGE.PUNCH, first, count, done),
  };
  // With `keep` nothing is discarded: what was acknowledged stays so.
  const discarded = keep ? 1 : pages;
  for (let slot = 1; slot < discarded; slot++) shadow.beginWrite(world.shadow, slot, 0, SWAPOFF_CONNECTION);
  const end = (errno: number, refused: readonly Discarded[]): void => {
    ended = errno === 0;
    if (ended) return;
    if (refused.length === 0) throw new Error(`swapoff ends with error ${errno}`);
    baton.note('the image refuses to forget');
    loop.lane.loop.soon(() => punchAgain(host, X, refused, end));
  };
  const op: SwapoffOp = new SwapoffOp(host, X, keep, (errno) => end(errno, op.refused));
  op.resume();
  const hear = (): boolean => {
    const errno = asked === null ? null : takeAnswer(world, zswap.thread);
    if (errno === null) return ended;
    const done = asked;
    asked = null;
    done?.(errno);
    return hear();
  };
  loop.until(
    hear,
    () => undefined,
    () => undefined,
  );
  for (let slot = 1; slot < discarded; slot++) shadow.endWrite(world.shadow, slot, 0, SWAPOFF_CONNECTION, true);
  baton.note('swapoff ends');
  if (!again) return;
  swapon(zswap, X);
  baton.note('swapon');
}

/** The end of an export as in service (server/end_export.ts): no client any more, then the drain, then the disk has everything. */
function stop({ world, zswap, baton, scenario }: Env): void {
  const { states, clients, boxes } = zswap.shared;
  enter(states, X, STATE.STOPPING);
  for (let left = sync.load(clients, X); left > 0; left = sync.load(clients, X)) sync.retry(clients, X, left);
  enter(states, X, STATE.DRAINING);
  const seen = sync.load(boxes, zswap.thread);
  post(world, zswap, MESSAGE.DRAIN, X, 0, 0);
  sync.retry(boxes, zswap.thread, seen);
  const errno = takeAnswer(world, zswap.thread);
  if (errno !== 0) throw new Error(`the drain ends with error ${errno}`);
  enter(states, X, STATE.ENDED);
  baton.note('the export has ended');
  for (let slot = firstSlot(scenario); slot < firstSlot(scenario) + SLOTS; slot++) {
    const page = pageAt(world.image.durable, slot);
    if (shadow.isRight(world.shadow, slot, versionOf(page, slot))) continue;
    const wanted = shadow.rightVersions(world.shadow.may[placeOf(slot)]);
    baton.violate(
      'lost data',
      `the drain has ended, and of slot ${slot} the disk has ${describePage(page)}, not ${wanted}`,
    );
  }
}
