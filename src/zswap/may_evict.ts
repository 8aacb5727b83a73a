/** What reclaim by pages has to know of a slot that a label names, before it has that written back. */
import { ownerOf } from '../pool/attribution.ts';
import { mayWriteBack } from '../pool/export_state.ts';
import { writesBack } from '../pool/memcg.ts';
import type { Shared } from '../pool/shared.ts';
import type { MayEvict } from '../protocols/lru/pages.ts';
import { EVICT, type Evict } from '../protocols/protocol.ts';
import * as sync from '../shm/sync.ts';

/** The list of pages knows no memcgs, but one that is to keep its pages in the pool keeps them. */
export function mayEvictOf(shared: Shared): MayEvict {
  return (x, slot) => mayEvict(shared, x, slot);
}

function mayEvict({ settings: { exports }, states, memcgs }: Shared, x: number, slot: number): Evict {
  if (x >= exports.length) {
    sync.violation(
      'use after free',
      `a label names export ${x}, and there are ${exports.length}: it was never written`,
    );
  }
  if (slot >= exports[x].pages) return EVICT.NOTHING;
  return mayWriteBack(states, x) && writesBack(memcgs, ownerOf(memcgs, x, slot)) ? EVICT.YES : EVICT.NO;
}
