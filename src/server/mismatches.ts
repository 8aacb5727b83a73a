/** What a thread says of pages that are not what was stored. */
import { ageOf, TICKS_PER_SECOND } from '../pool/access_time.ts';
import { ownerOf } from '../pool/attribution.ts';
import { NONE } from '../pool/entries.ts';
import type { OnMismatch } from '../zswap/outward.ts';
import type { Zswap } from '../zswap/zswap.ts';
import type { Mismatch } from './messages.ts';

/** Told by each thread; `checksum_mismatch` has the rest. */
const MISMATCHES_TOLD = 16;

export function mismatches(zswap: Zswap, post: (message: Mismatch) => void): OnMismatch {
  let told = 0;
  return (x, slot, tier) => {
    if (told++ >= MISMATCHES_TOLD) return;
    const age = tier === 'pool' ? ageOfLast(zswap, x, slot) : null;
    post({ type: 'mismatch', x, slot, m: ownerOf(zswap.memcgs, x, slot), tier, age });
  };
}

/** In seconds, if the slot's is the entry that the thread has decompressed last; a page on its way to the image has none any more. */
function ageOfLast({ shared, entries, lastEntry: e }: Zswap, x: number, slot: number): number | null {
  if (e === NONE || entries.volume[e] !== x || entries.slot[e] !== slot) return null;
  return ageOf(shared.clock, entries.accessed[e]) / TICKS_PER_SECOND;
}
