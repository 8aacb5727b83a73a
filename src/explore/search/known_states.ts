/**
 * The moves that a search has made, where the threads of a run can look: a run that comes to a state and would let an actor
 * move there, as another run did after as few preemptions, goes on as that one did, so it may as well end there.
 *
 * A table of fixed size, because a run must not wait for it to grow. What finds no place in it is not known, and such a run
 * goes on to its end. The search keeps all moves itself and leaves out branches by that (moves.ts).
 */
import { int32 } from '../../shm/columns.ts';
import { costOf, FINGERPRINT_LOW } from './moves.ts';

/** Places, of four words each: both halves of the fingerprint, the moves made there, and the search that wrote it. */
const PLACES = 2 ** 18;
const WORDS = 4;
/** Places that are looked at for one state. */
const PROBES = 8;

export interface KnownStates {
  readonly words: Int32Array;
  /** Number of the search; what others have left counts as free. */
  readonly search: Int32Array;
}

export function createKnown(): KnownStates {
  return { words: int32(PLACES * WORDS), search: int32(1) };
}

/** Forgets all states. */
export function forgetKnown({ words, search }: KnownStates): void {
  if (++search[0] < 0x7fffffff) return;
  // Numbers are used up: from here on they begin again, over a table that has none of them.
  words.fill(0);
  search[0] = 1;
}

function find({ words, search }: KnownStates, high: number, low: number): number {
  for (let probe = 0; probe < PROBES; probe++) {
    const at = ((high + probe) & (PLACES - 1)) * WORDS;
    if (words[at + 3] !== search[0] || (words[at] === high && words[at + 1] === low)) return at;
  }
  return -1;
}

/** Notes the moves that were made at a state (see withCost), in place of what was noted of it before. */
export function addKnown(known: KnownStates, state: number, moves: number): void {
  const high = Math.floor(state / (FINGERPRINT_LOW + 1)) | 0;
  const low = state & FINGERPRINT_LOW;
  const at = find(known, high, low);
  if (at < 0) return;
  known.words.set([high, low, moves, known.search[0]], at);
}

/** Whether a run has let the actor move at the state, after as few preemptions. */
export function isKnown(known: KnownStates, high: number, low: number, actor: number, preemptions: number): boolean {
  const at = find(known, high, low);
  return at >= 0 && known.words[at + 3] === known.search[0] && costOf(known.words[at + 2], actor) <= preemptions;
}
