/**
 * Moves: in a state an actor goes on, after so many preemptions. What comes of a move depends on the state and the actor
 * alone, so a search makes each of them once, with the fewest preemptions that get there: it does not matter whether the
 * actor went on by default, came back after somebody else was preempted, or preempted somebody itself.
 *
 * This is a partial-order reduction for a search with a preemption bound. Where two operations commute, both orders come to
 * one state; which of the two has spent more preemptions is known by comparison, and only that one is left out. (A sleep set
 * would have to prove as much beforehand: an order put to sleep must have one beside it that is no dearer.)
 */

/** Bits of the second lane of a fingerprint (history.ts) that a state has; so it is a number with 52. */
export const FINGERPRINT_LOW = 0xfffff;

/** Per actor so many bits, of one 32-bit word: 0 for no such move, else its preemptions plus 1. */
const BITS = 5;
const MASK = (1 << BITS) - 1;
/** Preemptions that can be told apart. */
export const COST_MAX = MASK - 1;

/** The fewest preemptions after which the actor has moved, or Infinity. */
export function costOf(moves: number, actor: number): number {
  const field = (moves >>> (actor * BITS)) & MASK;
  return field === 0 ? Number.POSITIVE_INFINITY : field - 1;
}

export function withCost(moves: number, actor: number, cost: number): number {
  const at = actor * BITS;
  return (moves & ~(MASK << at)) | ((cost + 1) << at);
}

export class Moves {
  private readonly made = new Map<number, number>();
  private readonly owed = new Map<number, number>();

  /** Whether the actor has moved at the state after as few preemptions. */
  isMade(state: number, actor: number, cost: number): boolean {
    return costOf(this.made.get(state) ?? 0, actor) <= cost;
  }

  /** Notes that it has; returns all moves made at the state. */
  make(state: number, actor: number, cost: number): number {
    const moves = this.made.get(state) ?? 0;
    if (costOf(moves, actor) <= cost) return moves;
    const more = withCost(moves, actor, cost);
    this.made.set(state, more);
    return more;
  }

  /** True if somebody must see to the move: it is neither made nor owed with as few preemptions. From now on it is owed. */
  owe(state: number, actor: number, cost: number): boolean {
    if (this.isMade(state, actor, cost)) return false;
    const owed = this.owed.get(state) ?? 0;
    if (costOf(owed, actor) <= cost) return false;
    this.owed.set(state, withCost(owed, actor, cost));
    return true;
  }
}
