/**
 * What PCT is here, once for both of its ends: pct.ts draws before a run, and whoever moves picks in it (chooser.ts).
 *
 * Each actor has a priority of its own, and the enabled one of highest priority moves. At each of `changes` random positions
 * the priority of whoever moves then drops below all first ones, by the k-th change to the k-th highest of the low ones,
 * whichever comes first in the run. In the words of the paper a bug of depth d needs d - 1 changes; what is counted here, and
 * what --bound is, are the changes. A bug that needs c of them among n positions is found by one run with probability of at
 * least 1 / (actors * n^c).
 */
import { ACTORS_MAX, B } from '../run_state.ts';

interface Priorities {
  readonly priorities: readonly number[];
  /** Positions, in no order. */
  readonly changes: readonly number[];
}

/** `next`: a random number below its argument. */
export function drawPriorities(next: (below: number) => number, changes: number, positions: number): Priorities {
  const priorities = Array.from({ length: ACTORS_MAX }, (_, i) => i);
  for (let i = ACTORS_MAX - 1; i > 0; i--) {
    const j = next(i + 1);
    [priorities[i], priorities[j]] = [priorities[j], priorities[i]];
  }
  return { priorities, changes: Array.from({ length: changes }, () => next(positions)) };
}

/** Who of `mask` moves at `position`; `me` has moved until now. */
export function pickPriority(ctl: Int32Array, mask: number, me: number, position: number): number {
  for (let k = 0; k < ctl[B.CHANGES]; k++) {
    if (me >= 0 && ctl[B.CHANGE_AT + k] >= 0 && ctl[B.CHANGE_AT + k] <= position) {
      ctl[B.PRIORITY + me] = -1 - k;
      ctl[B.CHANGE_AT + k] = -1;
    }
  }
  let best = -1;
  for (let i = 0; i < ctl[B.ACTORS]; i++) {
    if (((mask >>> i) & 1) === 1 && (best < 0 || ctl[B.PRIORITY + i] > ctl[B.PRIORITY + best])) best = i;
  }
  return best;
}
