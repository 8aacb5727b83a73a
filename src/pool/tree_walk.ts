/**
 * Walks of a tree without its lock, for the invalidate protocols that look before they lock.
 *
 * A walk remembers the place where it found the entry. By the time the lock is held the place may be stale: the lone entry
 * of index 0 moves from its leaf into the head when its last sibling goes, and back when another comes.
 */
import * as sync from '../shm/sync.ts';
import { NONE } from './entries.ts';
import { FANOUT, placeOf, slotsOf } from './nodes.ts';
import { clear, HEAD, NODE, RETRY, STRIDE, type Trees } from './tree.ts';

/** Where a lockless walk ended: the leaf (IN_HEAD: the head word itself), the place in its part of nodeSlots, and what was there. */
export interface Place {
  node: number;
  at: number;
  e: number;
}

const IN_HEAD = 0;

/** Finds `slot` without the tree lock. The caller is in a read section, so that no node it meets is used again. */
export function walk(t: Trees, tree: number, slot: number, into: Place): void {
  const index = slot & t.mask;
  for (;;) {
    const head = sync.load(t.words, tree * STRIDE + HEAD);
    into.node = IN_HEAD;
    into.at = 0;
    into.e = index === 0 && (head & NODE) === 0 ? head : NONE;
    if ((head & NODE) === 0) return;
    let node = head & ~NODE;
    let shift = t.nodeShift[node];
    if (index >>> shift >= FANOUT) return;
    for (;;) {
      const at = placeOf(node, (index >>> shift) & (FANOUT - 1));
      const below = sync.load(slotsOf(t, node), at);
      if (below === RETRY) break;
      if (shift === 0 || below === NONE) {
        into.node = node;
        into.at = at;
        into.e = below;
        return;
      }
      node = below;
      shift -= 6;
    }
  }
}

/** True while the place still holds the entry that the walk found there. Caller holds the tree lock. */
export function isCurrent(t: Trees, tree: number, place: Place): boolean {
  if (place.node === IN_HEAD) return t.words[tree * STRIDE + HEAD] === place.e;
  return t.nodeDead[place.node] === 0 && slotsOf(t, place.node)[place.at] === place.e;
}

/** Writes "none" through a remembered place, whatever it is by now. Caller holds the tree lock. */
export function clearAt(t: Trees, tree: number, slot: number, place: Place): void {
  if (place.node === IN_HEAD) sync.store(t.words, tree * STRIDE + HEAD, NONE);
  else clear(t, tree * STRIDE + HEAD, place.node, place.at, slot & t.mask);
}

/** Calls `visit` with the index and the entry of each place in use, in order. Caller holds the tree lock. */
export function eachEntry(t: Trees, tree: number, visit: (index: number, e: number) => void): void {
  const head = t.words[tree * STRIDE + HEAD];
  if ((head & NODE) !== 0) eachBelow(t, head & ~NODE, 0, visit);
  else if (head !== NONE) visit(0, head);
}

function eachBelow(t: Trees, node: number, base: number, visit: (index: number, e: number) => void): void {
  const shift = t.nodeShift[node];
  for (let i = 0; i < FANOUT; i++) {
    const below = slotsOf(t, node)[placeOf(node, i)];
    if (below === NONE) continue;
    const index = base | (i << shift);
    if (shift === 0) visit(index, below);
    else eachBelow(t, below, index, visit);
  }
}

/** The slot of the first entry in [first, end), slots of this tree, or `end`. Caller holds the tree lock. */
export function firstEntry(t: Trees, tree: number, first: number, end: number): number {
  sync.held(t.words, tree * STRIDE);
  const from = first & t.mask;
  const to = from + (end - first);
  const head = t.words[tree * STRIDE + HEAD];
  if ((head & NODE) === 0) return head !== NONE && from === 0 && first < end ? first : end;
  return first + Math.min(firstBelow(t, head & ~NODE, 0, from, to), to) - from;
}

/** Index of the first place in use in [from, to) below `node`, which starts at index `base`; `to` or more where there is none. */
function firstBelow(t: Trees, node: number, base: number, from: number, to: number): number {
  const span = 2 ** t.nodeShift[node];
  for (let i = Math.max(0, Math.floor((from - base) / span)); i < FANOUT && base + i * span < to; i++) {
    const below = slotsOf(t, node)[placeOf(node, i)];
    if (below === NONE) continue;
    if (span === 1) return base + i;
    const found = firstBelow(t, below, base + i * span, from, to);
    if (found < to) return found;
  }
  return to;
}

/** Writes the slots of all entries in [first, end), in order, to `into`, and answers how many there are. Caller holds the tree lock. */
export function entriesIn(t: Trees, tree: number, first: number, end: number, into: Uint32Array): number {
  let count = 0;
  for (let slot = firstEntry(t, tree, first, end); slot < end; slot = firstEntry(t, tree, slot + 1, end))
    into[count++] = slot;
  return count;
}
