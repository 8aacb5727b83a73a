/** What a thread's zswap calls, for whoever holds it to answer. */

/** Queues the image write of a page that a protocol wrote back. */
export type OnWrite = (x: number, slot: number, buffer: number) => void;

export function writesNothing(): never {
  throw new Error('a page was written back by a thread that has no image queue');
}

/** What goes wrong on purpose; pool_faults.ts has it, while a plan names the pool. */
export interface PoolFaults {
  /** As Codec.compress. */
  compress(x: number, slot: number, page: Uint8Array): number;
  allocFails(x: number, slot: number): boolean;
  /** Of the object of an entry that is about to be looked at; -1: it does not decompress. */
  lengthOf(e: number): number;
  /** The entry of a slot, which was found, is passed by; until the image was read in its place, or the page is another one. */
  hides(x: number, slot: number): boolean;
  shown(x: number, slot: number): void;
}

/** Where a page was that is not what its slot was last acknowledged to hold. */
export type Tier = 'pool' | 'image';

/** Is told of each such page; its READ is answered with EIO. */
export type OnMismatch = (x: number, slot: number, tier: Tier) => void;
