/**
 * Swapoff protocol `pin-first` (Linux 6.9 and later): nothing special is needed, because writeback touches a tree only
 * while it holds a pin, and swapoff's own draining of slots waits for every pin.
 *
 *   1. writeback copies slot n   2. swapoff claims the slice: n can't be pinned any more, old pins are waited for
 *   3. writeback's pin attempt fails before it touches the tree   4. swapoff discards n
 *
 * Who frees: swapoff, through the invalidate protocol. Lock order: range claim -> tree.lock -> lru.lock -> allocator.
 * Known weakness: none with pin-validate. It needs a writeback that pins first and touches nothing after the pin.
 * Discussed: linux-mm, January 2024; merged as 5878303c5353.
 */

import type { SwapoffProtocol } from '../protocol.ts';
import { freeImmediately } from './free_immediately.ts';

/** The same steps: what makes them safe is the writeback that goes with it. */
export const pinFirst: SwapoffProtocol = { ...freeImmediately, name: 'pin-first' };
