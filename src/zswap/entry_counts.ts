/** What an entry counts for while it is alive: pages and bytes of the pool, and of its export. */
import { POOL } from '../pool/counters.ts';
import { KEPT, LENGTH_SAME_FILLED } from '../pool/entries.ts';
import { countObject } from '../pool/export_accounts.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { CTL } from '../pool/shared.ts';
import * as sync from '../shm/sync.ts';
import type { Zswap } from './zswap.ts';

/** Entry `e` of export `x`, with `bytes` of object, came (`sign` 1) or is about to be freed (-1). */
export function countEntry(
  { counters, shared, entries, thread }: Zswap,
  e: number,
  bytes: number,
  x: number,
  sign: 1 | -1,
): void {
  counters[POOL.stored_pages] += sign;
  counters[POOL.compressed_bytes] += sign * bytes;
  if (bytes === LENGTH_SAME_FILLED) counters[POOL.same_filled_pages] += sign;
  else countObject(shared.accounts, thread, x, bytes, sign);
  if (bytes !== PAGE_SIZE) return;
  counters[POOL.stored_incompressible_pages] += sign;
  if (entries.fill[e] === KEPT) sync.add(shared.control, CTL.KEPT_RAW, sign);
}
