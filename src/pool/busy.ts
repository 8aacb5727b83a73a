/** What of a pool is under way: sums over it mean something while nothing is. Read without locks. */
import { ringLength } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';
import { claimsHeld } from './claims.ts';
import { runsVerb } from './export_state.ts';
import { CTL, type Shared } from './shared.ts';

/** What is under way; all 0 when nothing is. */
export interface Busy {
  readonly pins: number;
  readonly writebacks: number;
  readonly claims: number;
  readonly orders: number;
  readonly shrinker: number;
  readonly swapoffs: number;
}

export function busy(s: Shared): Busy {
  const { locked, wb } = s.slotTable;
  const scrubbed = sync.load(s.control, CTL.SCRUBBED);
  let pins = 0;
  let writebacks = 0;
  for (let r = 1; r < locked.length; r++) {
    if (locked[r] !== 0 && r !== scrubbed) pins++;
    writebacks += wb[r];
  }
  return {
    pins,
    writebacks,
    claims: claimsHeld(s.claims),
    orders: ringLength(s.orders),
    shrinker: sync.load(s.control, CTL.WORK),
    swapoffs: s.states.filter((_, x) => runsVerb(s.states, x)).length,
  };
}
