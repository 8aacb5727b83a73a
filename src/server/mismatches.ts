/** What a thread says of pages that are not what was stored. */
import { ownerOf } from '../pool/attribution.ts';
import type { OnMismatch } from '../zswap/outward.ts';
import type { Zswap } from '../zswap/zswap.ts';
import type { Mismatch } from './messages.ts';

/** Told by each thread; `checksum_mismatch` has the rest. */
const MISMATCHES_TOLD = 16;

export function mismatches({ memcgs }: Pick<Zswap, 'memcgs'>, post: (message: Mismatch) => void): OnMismatch {
  let told = 0;
  return (x, slot, tier) => {
    if (told++ < MISMATCHES_TOLD) post({ type: 'mismatch', x, slot, m: ownerOf(memcgs, x, slot), tier });
  };
}
