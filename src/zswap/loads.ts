/** What a look at a slot has come to: Zswap.load and Zswap.fetch. */

/** load(): the bytes are in place. */
export const LOADED = 0;
/** load(): neither page nor entry; the image has it. */
export const ON_IMAGE = 1;
/** load(): the entry does not decompress, the page is not the one last stored, or the slot is lost. */
export const LOAD_FAILED = 2;
/** What fetch() says instead of LOAD_FAILED. */
export const LOST = 3;
export const UNREADABLE = 4;
export const STALE = 5;
