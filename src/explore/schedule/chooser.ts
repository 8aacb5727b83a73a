/**
 * Who moves next: decided by the thread that moves now, from the board alone.
 *
 * Enabledness: an actor that waits for a lock is enabled when the lock word is 0, one that waits for a word to change when
 * it has changed. Nobody polls; so a deadlock is seen at once, as unfinished actors of which none is enabled.
 */
import { B, type Board, DECISION_WORDS, MODE, POSITIONS_MAX, random, SCHEDULE_MAX, STATE } from '../run_state.ts';
import { hashState } from '../search/history.ts';
import { isKnown } from '../search/known_states.ts';
import { FINGERPRINT_LOW } from '../search/moves.ts';
import type { Words } from '../world/word_names.ts';
import { pickPriority } from './priorities.ts';

export const NOBODY = -1;

function enabledMask(board: Board, words: Words): number {
  const { ctl } = board;
  let mask = 0;
  for (let i = 0; i < ctl[B.ACTORS]; i++) if (isEnabled(board, words, i)) mask |= 1 << i;
  return mask;
}

function isEnabled(board: Board, words: Words, i: number): boolean {
  const { ctl } = board;
  const state = ctl[B.STATE + i];
  if (state === STATE.RUNNABLE) return true;
  if (state === STATE.DONE) return false;
  const value = words.arrays[ctl[B.WAIT_ARRAY + i]][ctl[B.WAIT_INDEX + i]];
  return state === STATE.LOCK ? value === 0 : value !== ctl[B.WAIT_SEEN + i];
}

/** Whether the run may end where it is known what is left of it; then that is looked at even if nobody else could move. */
function mayEnd(ctl: Int32Array): boolean {
  return ctl[B.KNOWN_AT] > 0;
}

/** The next enabled actor after `me`, round robin. */
function following(mask: number, me: number, actors: number): number {
  for (let k = 1; k <= actors; k++) {
    const i = (me + k) % actors;
    if (((mask >>> i) & 1) === 1) return i;
  }
  return NOBODY;
}

/** `me` could go on. Returns who moves. `choice`: the search considers leaving `me` here. */
export function chooseAt(board: Board, words: Words, me: number, choice: boolean): number {
  const { ctl, schedule } = board;
  const position = ctl[B.POSITION]++;
  if (ctl[B.AT] < ctl[B.LENGTH]) {
    if (schedule[ctl[B.AT] * 2] !== position) return me;
    return scheduled(board, words, me, position, 1);
  }
  if (!choice) return me;
  const mask = enabledMask(board, words);
  if (mask === 1 << me && !mayEnd(ctl)) return me;
  if (ctl[B.MODE] === MODE.PREFIX) {
    note(board, words, position, mask, me, 1);
    return me;
  }
  const chosen = ctl[B.MODE] === MODE.RANDOM ? pickRandom(ctl, mask, me) : pickPriority(ctl, mask, me, position);
  if (chosen !== me) make(board, position, chosen, 1);
  return chosen;
}

/** `me` can't go on (waits, has finished, or is nobody). Returns who moves, or NOBODY when no actor is enabled. */
export function chooseOther(board: Board, words: Words, me: number): number {
  const { ctl, schedule } = board;
  const position = ctl[B.POSITION]++;
  const mask = enabledMask(board, words);
  if (mask === 0) return NOBODY;
  if (ctl[B.AT] < ctl[B.LENGTH] && schedule[ctl[B.AT] * 2] === position) {
    return scheduled(board, words, me, position, 0);
  }
  let chosen = following(mask, me, ctl[B.ACTORS]);
  if (ctl[B.AT] >= ctl[B.LENGTH] && ((mask & (mask - 1)) !== 0 || mayEnd(ctl))) {
    const usual = chosen;
    if (ctl[B.MODE] === MODE.PREFIX) note(board, words, position, mask, chosen, 0);
    else chosen = ctl[B.MODE] === MODE.RANDOM ? pickRandom(ctl, mask, me) : pickPriority(ctl, mask, me, position);
    if (chosen !== usual) make(board, position, chosen, 0);
  }
  return chosen;
}

function scheduled(board: Board, words: Words, me: number, position: number, preempts: number): number {
  const { ctl, schedule } = board;
  const chosen = schedule[ctl[B.AT] * 2 + 1];
  ctl[B.AT]++;
  if (chosen >= ctl[B.ACTORS] || !isEnabled(board, words, chosen)) {
    // The schedule belongs to other code or another scenario; the run goes on by default and is reported as diverged.
    ctl[B.DIVERGED] = 1;
    return preempts === 1 ? me : following(enabledMask(board, words), me, ctl[B.ACTORS]);
  }
  make(board, position, chosen, preempts);
  return chosen;
}

function make(board: Board, position: number, chosen: number, preempts: number): void {
  const { ctl, made } = board;
  ctl[B.PREEMPTIONS] += preempts;
  const at = ctl[B.MADE];
  if (at === SCHEDULE_MAX) return;
  made[at * 2] = position;
  made[at * 2 + 1] = chosen;
  ctl[B.MADE] = at + 1;
}

function note(board: Board, words: Words, position: number, mask: number, chosen: number, preempts: number): void {
  const { ctl, decisions } = board;
  if (ctl[B.DECISIONS] === POSITIONS_MAX) return;
  const at = ctl[B.DECISIONS]++ * DECISION_WORDS;
  decisions[at] = position;
  decisions[at + 1] = mask;
  decisions[at + 2] = chosen;
  decisions[at + 3] = preempts;
  hashState(board, words, decisions, at + 4);
  decisions[at + 5] &= FINGERPRINT_LOW;
  const { [B.KNOWN_AT]: known } = ctl;
  if (known > 0 && isKnown(board.known, decisions[at + 4], decisions[at + 5], chosen, known - 1)) ctl[B.KNOWN] = 1;
}

/** Stays in two cases of three, so that runs are made of stretches and not of single steps. */
function pickRandom(ctl: Int32Array, mask: number, me: number): number {
  if (me >= 0 && ((mask >>> me) & 1) === 1 && random(ctl, 3) !== 0) return me;
  let left = random(ctl, popcount(mask));
  for (let i = 0; ; i++) if (((mask >>> i) & 1) === 1 && left-- === 0) return i;
}

export function popcount(mask: number): number {
  let count = 0;
  for (let left = mask; left !== 0; left &= left - 1) count++;
  return count;
}
