/**
 * Busy protocol `skip-eexist` (Linux 6.8 and later): writeback does not wait for a slot that is in use, it skips it.
 *
 * Why: a fault pins its slot, then charges memory, which may reclaim, which may pick the very entry of that slot. Waiting
 * for the pin would be waiting for itself. Skipping is broader than that one case (any busy slot is skipped, also one that
 * would have come free), and that is accepted: a page that is being read back is a poor victim.
 * Discussed: linux-mm, September 2023, "zswap: make shrinking memcg-aware".
 */
import type { BusyProtocol } from '../protocol.ts';

export const skipEexist = {
  name: 'skip-eexist',
  declaration: { about: 'leaves it, as since Linux 6.8' },
  waits: false,
  pin: (pool, x, slot) => pool.pinForWriteback(x, slot),
} as const satisfies BusyProtocol;
