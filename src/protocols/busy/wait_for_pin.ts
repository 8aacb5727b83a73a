/** Waiting for a victim's pin, as the kernels before 6.8 did in __read_swap_cache_async. */
import { EEXIST } from '../../pool/slots.ts';
import type { ProtocolPool } from '../protocol.ts';

/** Tries until the slot is free, unless its pin has a page: then the page is in the swap cache, and that is EEXIST. */
export function pinWaiting(pool: ProtocolPool, x: number, slot: number): number {
  for (;;) {
    const r = pool.pinForWriteback(x, slot);
    if (r !== EEXIST || !pool.slots.waitUnpinned(x, slot)) return r;
  }
}
