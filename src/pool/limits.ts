/** Sizes and bounds that the shared layout is built on. */

import { assert } from '../shm/assert.ts';

/** Bytes of one page, one slot on the device, one NBD block of ours. */
export const PAGE_SIZE = 4096;
/** Pages per split tree: 64 MiB of the device, as SWAP_ADDRESS_SPACE_PAGES in the kernel. */
export const TREE_SHIFT = 14;
export const TREE_PAGES = 1 << TREE_SHIFT;
/** Largest export: 2^31 slots, so that a slot fits an Int32 column and an export its bitmap. */
export const EXPORT_BYTES_MAX = 8 * 2 ** 40;
export const EXPORTS_MAX = 256;
/** Rows of the table of memcgs: as many as the kernel has ids for, the root and those that are offline among them. */
export const MEMCGS_MAX = 65_536;
/** Threads that own counters, locks and mailboxes: main, lanes, shrinker. */
export const LANES_MAX = 16;
export const THREADS_MAX = LANES_MAX + 2;
export const THREAD_MAIN = 0;
export const THREAD_SHRINKER = 1;
export const THREAD_LANE0 = 2;
/** A range claim (and so a TRIM slice) covers at most this many slots: 2 MiB. */
export const SLICE_SLOTS = 512;

assert(EXPORT_BYTES_MAX / PAGE_SIZE <= 2 ** 31, 'a slot fits an Int32 column');
assert(EXPORTS_MAX <= 2 ** 8 && MEMCGS_MAX <= 2 ** 16, 'entries name exports in a byte, and memcgs in two');
assert(THREADS_MAX <= 30, 'a mask of threads fits a word, beside a flag at bit 30');
assert(TREE_PAGES % SLICE_SLOTS === 0, 'a slice never crosses the edge of a tree');
