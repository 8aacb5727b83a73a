/**
 * Fingerprints of states, by which a search knows that it has been somewhere before (as in CHESS: two runs whose operations
 * are ordered alike, as far as the order can be told, have come to the same state).
 *
 * Each actor has a history: a hash of its operations, each with what it could have seen of others: a read with the last
 * write of its word, a write with that and with the reads since, and both with what they found, which somebody may have put
 * there plainly. Operations on different words commute and hash alike in either order. What is read without the façade by
 * somebody who holds neither its lock nor its pin is not in a history, so the few small tables of which that is true are
 * hashed as they are, and so is all that findings are measured against.
 *
 * Two lanes of 32 bits are kept, because a collision would hide a schedule.
 */
import { B, type Board } from '../run_state.ts';
import type { Words } from '../world/word_names.ts';

function mix(h: number, value: number): number {
  let x = Math.imul(h ^ value, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  return x ^ (x >>> 16);
}

/** Adds an operation of actor `me` on a word. `found`: what it read, which a plain write may have put there; else 0. */
export function remember(board: Board, me: number, word: number, writes: boolean, found: number): void {
  const { ctl, lastWrite, reads, marked } = board;
  const first = word * 2;
  if (lastWrite[first] === 0 && reads[first] === 0 && ctl[B.MARKED] < marked.length) marked[ctl[B.MARKED]++] = word;
  for (let lane = 0; lane < 2; lane++) {
    const at = word * 2 + lane;
    const own = B.HISTORY + me * 2 + lane;
    // Lanes differ in their start, and so in everything after it.
    const seen = writes ? (lastWrite[at] + Math.imul(reads[at], 3)) | 0 : lastWrite[at];
    const h = mix(mix(mix(ctl[own] + lane * 0x9e3779b1, word * 2 + (writes ? 1 : 0)), seen), found ^ 0x27d4eb2f);
    ctl[own] = h;
    if (writes) {
      lastWrite[at] = h;
      reads[at] = 0;
    } else reads[at] = (reads[at] + h) | 0;
  }
}

/** Adds that actor `me` has passed a step, which touches no word. */
export function rememberStep(board: Board, me: number): void {
  for (let lane = 0; lane < 2; lane++) {
    const own = B.HISTORY + me * 2 + lane;
    board.ctl[own] = mix(board.ctl[own] + lane, 0x165667b1);
  }
}

/** Writes the fingerprint of the state to into[at] and into[at + 1]. */
export function hashState(board: Board, words: Words, into: Int32Array, at: number): void {
  const { ctl } = board;
  for (let lane = 0; lane < 2; lane++) {
    let h = mix(1, lane * 0x2545f491 + 1);
    for (let i = 0; i < ctl[B.ACTORS]; i++) {
      h = mix(h, ctl[B.HISTORY + i * 2 + lane]);
      h = mix(h, ctl[B.STATE + i]);
    }
    into[at + lane] = h;
  }
  let place = 0;
  for (const { array, length } of words.direct) {
    for (let i = 0; i < length; i++) {
      place = (place + 0x9e3779b1) | 0;
      // Most of them are 0; that a place was left out shows in the next one.
      if (array[i] === 0) continue;
      into[at] = mix(into[at], array[i] ^ place);
      into[at + 1] = mix(into[at + 1] + 1, array[i] ^ place);
    }
  }
}
