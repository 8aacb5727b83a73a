/**
 * What must hold when nothing is under way: every live entry is in its tree and on its list, every object belongs to an
 * entry, charges are sums of lengths, nothing is locked, pinned, claimed or borrowed, and each slot reads as acknowledged.
 */

import { allocatorOf } from '../../pool/allocator/index.ts';
import { testBit } from '../../pool/bits.ts';
import { takenBuffers } from '../../pool/buffers.ts';
import { claimsHeld } from '../../pool/claims.ts';
import { type Entries, highWater, isLive, LENGTH_SAME_FILLED, NONE } from '../../pool/entries.ts';
import { PAGE_SIZE } from '../../pool/limits.ts';
import { belongs, type Lru } from '../../pool/lru.ts';
import { CELL, countOf, currentOf, heirOf, isOnline, pathOf, ROOT, TABLE } from '../../pool/memcg.ts';
import { hasAgent, rowOfNumber } from '../../pool/owners.ts';
import { FREE_HEAD } from '../../pool/slot_table.ts';
import { get, isFreed, treeOf } from '../../pool/tree.ts';
import { isKnown } from '../../zswap/checksums.ts';
import { LOADED, ON_IMAGE } from '../../zswap/loads.ts';
import type { Zswap } from '../../zswap/zswap.ts';
import { isRight, rightVersions } from './acknowledged.ts';
import { ownerProblem } from './agent.ts';
import type { Stage } from './start_state.ts';
import {
  describePage,
  NEW_MEMCG,
  numberOf,
  PARENT_ROW,
  pageAt,
  placeOf,
  SLOTS,
  versionOf,
  type World,
} from './world.ts';

export interface Finding {
  readonly kind: string;
  readonly text: string;
  /** The last step of the actor that met it; absent when it was met at the end, by no actor. */
  readonly step?: string;
}

/** `stage`: what the run began with; a pin of it was dropped by now. */
export function checkQuiescence(world: World, zswap: Zswap, stage: Stage): Finding | null {
  const { first, memcgPages, parentPages, mayLose } = stage;
  const numbers = Array.from({ length: world.exports }, (_, x) => x);
  const ofEach = (check: (x: number) => Finding | null): Finding | null =>
    numbers.reduce<Finding | null>((found, x) => found ?? check(x), null);
  return (
    ofEach((x) => checkEntries(zswap, x, first)) ??
    ofEach((x) => checkLimit(zswap, zswap.memcgs.ofExport[x], memcgPages)) ??
    checkLimit(zswap, PARENT_ROW, parentPages) ??
    checkMoved(zswap) ??
    checkPins(zswap) ??
    checkObjects(zswap, stage) ??
    ofEach((x) => checkData(world, zswap, x, first, mayLose)) ??
    ofEach((x) => checkImage(world, zswap, x, first)) ??
    checkOwner(zswap, stage)
  );
}

function checkOwner(zswap: Zswap, { owned, dies }: Stage): Finding | null {
  const text = owned === null ? null : ownerProblem(zswap, owned, dies);
  return text === null ? null : { kind: 'charge', text };
}

/** The entries of export `x`, and all lists. */
function checkEntries({ entries, trees, lru, shared }: Zswap, x: number, first: number): Finding | null {
  const inTree = new Set<number>();
  for (let slot = first; slot < first + SLOTS; slot++) {
    const tree = treeOf(trees, x, slot);
    const e = isFreed(trees, tree) ? NONE : get(trees, tree, slot);
    if (e === NONE) continue;
    if (!isLive(entries, e)) return { kind: 'use after free', text: `slot ${slot} holds entry ${e}, which was freed` };
    if (entries.slot[e] !== slot || entries.volume[e] !== x) {
      return {
        kind: 'use after free',
        text: `slot ${slot} holds entry ${e}, which belongs to slot ${entries.slot[e]}${entries.volume[e] === x ? '' : ' of another export'}`,
      };
    }
    if (!testBit(shared.users, x, slot)) {
      return { kind: 'leak', text: `entry ${e} is stored at slot ${slot}, which nobody uses` };
    }
    inTree.add(e);
  }
  const listed = listedEntries(entries, lru);
  if (!(listed instanceof Set)) return listed;
  for (let e = 1; e < highWater(entries); e++) {
    if (!isLive(entries, e) || entries.volume[e] !== x) continue;
    if (!inTree.has(e)) {
      return {
        kind: 'leak',
        text: `entry ${e} of slot ${entries.slot[e]} is alive, in no tree, and nobody will free it`,
      };
    }
    if (entries.length[e] !== LENGTH_SAME_FILLED && !listed.has(e)) {
      return { kind: 'leak', text: `entry ${e} of slot ${entries.slot[e]} is on no LRU: it can't be written back` };
    }
  }
  return checkCharges(entries, lru);
}

/** What is on the lists of memcgs that are in use, each on the one where it belongs. */
function listedEntries(entries: Entries, lru: Lru): Set<number> | Finding {
  const listed = new Set<number>();
  for (let m = 0; m < lru.memcgs.control[TABLE.END]; m++) {
    const sofar = listed.size;
    for (let e = lru.head[m]; e !== NONE; e = entries.next[e]) {
      if (listed.has(e)) return { kind: 'list', text: `the LRU meets entry ${e} twice` };
      if (!isLive(entries, e)) return { kind: 'use after free', text: `the LRU holds entry ${e}, which was freed` };
      if (!belongs(lru, entries, m, e)) return { kind: 'list', text: `entry ${e} is on the LRU of another memcg` };
      const before = entries.prev[e];
      if (lru.deadLast && before !== NONE && entries.dead[before] > entries.dead[e]) {
        return { kind: 'list', text: `entry ${before}, which is dead, goes before entry ${e}, which is not` };
      }
      listed.add(e);
    }
    const found = listed.size - sofar;
    if (lru.count[m] !== found) {
      return { kind: 'charge', text: `${found} entries are on the LRU, ${lru.count[m]} are counted` };
    }
  }
  return listed;
}

/** What lists and memcgs are charged, against the entries. */
function checkCharges(entries: Entries, lru: Lru): Finding | null {
  const { memcgs } = lru;
  const [own, below] = [new Float64Array(memcgs.rows), new Float64Array(memcgs.rows)];
  const dead = new Float64Array(memcgs.rows);
  for (let e = 1; e < highWater(entries); e++) {
    if (!isLive(entries, e)) continue;
    const m = entries.memcg[e];
    own[heirOf(memcgs, m)] += entries.length[e];
    if (entries.dead[e] !== 0) dead[heirOf(memcgs, m)] += entries.length[e];
    for (let row = m; row !== ROOT; row = memcgs.parent[row]) below[row] += entries.length[e];
  }
  for (let m = 0; m < memcgs.rows; m++) {
    if (lru.charged[m] !== own[m]) {
      return { kind: 'charge', text: `the objects have ${own[m]} bytes, ${lru.charged[m]} are charged` };
    }
    if (lru.dead[m] !== dead[m]) {
      return { kind: 'charge', text: `${dead[m]} bytes on a list are dead, and ${lru.dead[m]} are counted` };
    }
    if (m === ROOT) continue;
    const current = currentOf(memcgs, m);
    if (current !== below[m]) {
      return { kind: 'charge', text: `the objects of a memcg have ${below[m]} bytes, its current is ${current}` };
    }
    if (!isOnline(memcgs, m) || !pathOf(memcgs, m).endsWith(`/${NEW_MEMCG}`)) continue;
    for (const [name, column] of Object.entries(CELL)) {
      const count = countOf(memcgs, m, column);
      if (count !== 0)
        return { kind: 'charge', text: `a memcg that is new has ${count} as ${name} of one that is gone` };
    }
  }
  return null;
}

function checkLimit({ memcgs }: Zswap, m: number, pages: number): Finding | null {
  const has = countOf(memcgs, m, CELL.PAGES);
  if (has > pages) return { kind: 'over limit', text: `the memcg has ${has} pages, and may have ${pages}` };
  // Else what was let in for nobody stays taken from the memcg.
  if (memcgs.reserved[m] !== 0) {
    return { kind: 'leak', text: `${memcgs.reserved[m]} stores stay let in at the limit` };
  }
  return null;
}

/** What has come to a memcg by moves and is above its limit does not stay. Of an agent's first cgroup, whose limit no store meets. */
function checkMoved({ memcgs }: Zswap): Finding | null {
  if (!hasAgent(memcgs.owners, 0)) return null;
  const m = rowOfNumber(memcgs.owners, 0, 1);
  const current = currentOf(memcgs, m);
  if (current <= memcgs.max[m]) return null;
  return {
    kind: 'over limit',
    text: `${current} bytes have moved to ${pathOf(memcgs, m)}, and may be ${memcgs.max[m]}`,
  };
}

function checkPins({ slots, shared }: Zswap): Finding | null {
  const { t } = slots;
  for (let r = 1; r < t.locked.length; r++) {
    if (t.locked[r] !== 0) return { kind: 'stranded page', text: `slot ${t.slot[r]} stays pinned by nobody at work` };
    if (t.wb[r] !== 0)
      return { kind: 'stranded page', text: `slot ${t.slot[r]} waits for an image write that never comes` };
    if (t.page[r] !== 0)
      return { kind: 'stranded page', text: `slot ${t.slot[r]} keeps its page, and no image write will end that` };
  }
  // Without pin, page and image write a record goes back to the free list.
  let free = 0;
  for (let r = t.control[FREE_HEAD]; r !== 0; r = t.next[r]) free++;
  if (free !== t.locked.length - 1) {
    return { kind: 'leak', text: `${t.locked.length - 1 - free} slot records were never given back` };
  }
  if (claimsHeld(shared.claims) !== 0) return { kind: 'leak', text: `a range claim was never released` };
  return null;
}

/** Objects and buffers. A page that stands for its slot keeps its buffer, and there is none of those at the end. */
function checkObjects({ entries, shared }: Zswap, { borrowed, requestsBorrowed }: Stage): Finding | null {
  const { zs } = shared;
  const allocator = allocatorOf(zs);
  let owners = 0;
  for (let e = 1; e < highWater(entries); e++) {
    if (isLive(entries, e) && entries.length[e] > 0) owners++;
    if (allocator.mapped(zs, e)) return { kind: 'leak', text: `the object of entry ${e} stays mapped` };
  }
  const strays = allocator.strays(zs);
  if (strays > 0) return { kind: 'leak', text: `${strays} pages of the allocator are where no reclaim finds them` };
  const { linked } = (zs.kind === 'zsmalloc' ? null : allocator.usage(zs, new Int32Array(64))) ?? { linked: -1 };
  const inUse = allocator.total(zs) / allocator.pageBytes;
  if (linked >= 0 && linked !== inUse)
    return { kind: 'list', text: `${linked} pages are on lists, ${inUse} are in use` };
  const objects = allocator.objects(zs);
  if (objects !== owners) return { kind: 'leak', text: `${objects} objects, but ${owners} entries that own one` };
  if (takenBuffers(shared.writebackBuffers) !== borrowed)
    return { kind: 'leak', text: 'a writeback buffer was not given back' };
  if (takenBuffers(shared.requestBuffers) !== requestsBorrowed)
    return { kind: 'leak', text: 'a request buffer was not given back' };
  return null;
}

const page = new Uint8Array(PAGE_SIZE);

/** As a client would; false for an error. */
function readSlot(world: World, zswap: Zswap, x: number, slot: number): boolean {
  const r = zswap.slots.pin(x, slot);
  const found = r > 0 ? zswap.load(r, x, slot, page, 0) : ON_IMAGE;
  if (found === ON_IMAGE) page.set(pageAt(world.image.bytes, numberOf(x, slot)));
  const ok = found === LOADED || (found === ON_IMAGE && (r <= 0 || zswap.agrees(x, slot, page, 0)));
  if (r > 0) zswap.slots.unpin(r);
  return ok;
}

/** Reads every slot. Of one that nobody uses no sum is known. */
function checkData(world: World, zswap: Zswap, x: number, first: number, mayLose: boolean): Finding | null {
  for (let slot = first; slot < first + SLOTS; slot++) {
    if (!testBit(zswap.shared.users, x, slot)) {
      if (isKnown(zswap.shared, x, slot))
        return { kind: 'stale data', text: `nobody uses slot ${slot}, and its sum is known` };
      page.fill(0);
    } else {
      const ok = readSlot(world, zswap, x, slot);
      if (!ok && mayLose) continue;
      if (!ok) return { kind: 'lost data', text: `reading slot ${slot} at the end answers an error` };
      if (zswap.shared.sums !== null && !isKnown(zswap.shared, x, slot))
        return { kind: 'unseen mismatch', text: `slot ${slot} is in use, and there is nothing to compare it with` };
    }
    const version = versionOf(page, numberOf(x, slot));
    if (isRight(world.shadow, numberOf(x, slot), version)) continue;
    const wanted = rightVersions(world.shadow.may[placeOf(numberOf(x, slot))]);
    // Zeros in place of a version are a store that was lost; anything else is older than it should be.
    const kind = version === 0 ? 'lost data' : 'stale data';
    return { kind, text: `slot ${slot} reads ${describePage(page)} at the end, acknowledged is ${wanted}` };
  }
  return null;
}

/** After a clean stop the image is what a client would have read, so a slot that nobody uses is a hole in it. */
function checkImage(world: World, { shared }: Zswap, x: number, first: number): Finding | null {
  for (let slot = first; slot < first + SLOTS; slot++) {
    if (testBit(shared.users, x, slot)) continue;
    page.set(pageAt(world.image.bytes, numberOf(x, slot)));
    if (versionOf(page, numberOf(x, slot)) === 0) continue;
    return { kind: 'stale data', text: `the image keeps ${describePage(page)}, and nobody uses slot ${slot}` };
  }
  return null;
}
