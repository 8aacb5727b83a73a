/**
 * What a thread's walk of an LRU list is at: plain numbers, made once per thread, so that no page costs an allocation.
 * Other threads never see it.
 */
import { NONE } from '../pool/entries.ts';

export interface Walk {
  /** The victim that was taken last: its slot, copied under the LRU lock, and its entry. */
  x: number;
  slot: number;
  e: number;
  /** Its tree, and which life of that; an entry protocol that comes back to the tree without a pin keeps them. */
  tree: number;
  life: number;
  /** The victim's neighbour on the list, as it was under the LRU lock. */
  neighbour: number;
  /** With lruSkipAfterUnlock: the list, and the entry where the walk goes on after a busy victim. */
  list: number;
  next: number;
}

export function newWalk(): Walk {
  return { x: 0, slot: 0, e: NONE, tree: 0, life: 0, neighbour: NONE, list: 0, next: NONE };
}
