/**
 * Busy protocol `none` (Linux before 6.8): writeback waits for a slot that is in use, until its page is there.
 *
 * Known weakness: the pin may be waiting for this very writeback:
 *   1. a store pins its slot and meets its memcg's limit
 *   2. the reclaim it asks for picks the old entry of that slot and waits for the pin
 * One thread is enough for that in the kernel; here the shrinker waits for the lane's pin, the lane for the shrinker.
 * Discussed: linux-mm, September 2023, "zswap: make shrinking memcg-aware".
 */
import type { BusyProtocol } from '../protocol.ts';
import { pinWaiting } from './wait_for_pin.ts';

export const busyNone = {
  name: 'none',
  declaration: {
    about: 'waits until it is free, as before Linux 6.8',
    weakness: () => 'writeback waits for a pin that waits for it at a memcg limit: deadlock, exit 70',
  },
  waits: true,
  pin: pinWaiting,
} as const satisfies BusyProtocol;
