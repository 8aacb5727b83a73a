/**
 * Swapoff protocol `free-immediately` (Linux up to 6.8): the slots are emptied, then the trees are freed at once.
 *
 * Who frees: swapoff, and whoever still uses an entry that swapoff took out of its tree.
 * Lock order: range claim -> tree.lock -> lru.lock -> allocator.
 * Known weakness: it asks nobody whether the tree is still in use. Safe with pin-validate, which touches a tree only under
 * a pin, and swapoff has waited for the pins. Not safe with the others:
 *   1. writeback picks slot n   2. swapoff discards n   3. its entry is freed   4. the tree is freed   5. writeback locks it
 * Discussed: linux-mm, January 2024 (reproduced by Yosry Ahmed with a sleep between 1 and 5).
 */
import { countUnderLock } from '../counts.ts';
import type { SwapoffProtocol } from '../protocol.ts';
import { discardSlice, freeAll, freesTooEarly, holdNothing, releaseNothing } from './free_trees.ts';

export const freeImmediately = {
  name: 'free-immediately',
  declaration: { about: 'frees them at once, as Linux up to 6.8 did', weakness: freesTooEarly },
  countsEntries: false,
  hold: holdNothing,
  release: releaseNothing,
  count: countUnderLock,
  discard: discardSlice,
  freeTrees: freeAll,
} as const satisfies SwapoffProtocol;
