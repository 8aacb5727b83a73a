/**
 * Swapoff protocol `pin-first` (Linux 6.9 and later): nothing special is needed, because writeback touches a tree only
 * while it holds a pin, and swapoff's own draining of slots waits for every pin.
 *
 *   1. writeback copies slot n   2. swapoff claims the slice: n can't be pinned any more, old pins are waited for
 *   3. writeback's pin attempt fails before it touches the tree   4. swapoff discards n
 *
 * It is `free-immediately` by the name that says what makes that safe: the steps of swapoff are the same, and what 5878303c5353
 * changed is writeback, which is the entry protocol's. So it takes no entry protocol that asks swapoff for the tree
 * because it does not pin first; those of 2013 ask nobody, and are with it as broken as with the other.
 *
 * Who frees: swapoff, through the invalidate protocol. Lock order: range claim -> tree.lock -> lru.lock -> allocator.
 * Known weakness: none with pin-validate. It needs a writeback that pins first and touches nothing after the pin.
 * Discussed: linux-mm, January 2024; merged as 5878303c5353.
 */
import type { Entry } from '../declaration.ts';
import type { SwapoffProtocol } from '../protocol.ts';
import { freeImmediately } from './free_immediately.ts';

function refuses({ declaration }: Entry): string | null {
  const { asksForTree, pinsFirst } = declaration.facts;
  return asksForTree && !pinsFirst ? 'needs a writeback that pins before it touches the tree' : null;
}

export const pinFirst = {
  ...freeImmediately,
  name: 'pin-first',
  declaration: {
    ...freeImmediately.declaration,
    about: 'free-immediately, by the name that asks for a writeback that pins first, as since Linux 6.9',
    refuses,
  },
} as const satisfies SwapoffProtocol;
