/** What a thread's zswap calls, for whoever holds it to answer. */

/** Queues the image write of a page that a protocol wrote back. */
export type OnWrite = (x: number, slot: number, buffer: number) => void;

export function writesNothing(): never {
  throw new Error('a page was written back by a thread that has no image queue');
}

/** Where a page was that is not what its slot was last acknowledged to hold. */
export type Tier = 'pool' | 'image';

/** Is told of each such page; its READ is answered with EIO. */
export type OnMismatch = (x: number, slot: number, tier: Tier) => void;
