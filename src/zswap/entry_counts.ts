/** What an entry counts for while it is alive: pages and bytes of the pool, and of its export. */
import { footprintOf } from '../pool/allocator/index.ts';
import { POOL } from '../pool/counters.ts';
import { type Entries, KEPT, LENGTH_SAME_FILLED } from '../pool/entries.ts';
import { countObject } from '../pool/export_accounts.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { CTL, type Shared } from '../pool/shared.ts';
import * as sync from '../shm/sync.ts';

/** Who counts it: one of the threads. */
interface Counting {
  readonly counters: Float64Array;
  readonly shared: Shared;
  readonly entries: Entries;
  readonly thread: number;
}

/** Entry `e` of export `x`, with `bytes` of object, came (`sign` 1) or is about to be freed (-1). */
export function countEntry(
  { counters, shared, entries, thread }: Counting,
  e: number,
  bytes: number,
  x: number,
  sign: 1 | -1,
): void {
  counters[POOL.stored_pages] += sign;
  counters[POOL.compressed_bytes] += sign * bytes;
  if (bytes === LENGTH_SAME_FILLED) counters[POOL.same_filled_pages] += sign;
  else countObject(shared.accounts, thread, x, bytes, footprintOf(shared.zs, e, bytes), sign);
  if (bytes !== PAGE_SIZE) return;
  counters[POOL.stored_incompressible_pages] += sign;
  if (entries.fill[e] === KEPT) sync.add(shared.control, CTL.KEPT_RAW, sign);
}
