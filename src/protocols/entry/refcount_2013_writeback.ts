/**
 * Writeback of the entry protocol `refcount-2013`: steps W1 to W5, and the failure path that forgets to free, with the
 * single lines of it that were mended later.
 */
import { NONE } from '../../pool/entries.ts';
import * as lru from '../../pool/lru.ts';
import { erase, get, lockTree, treeOf, unlockTree } from '../../pool/tree.ts';
import * as sync from '../../shm/sync.ts';
import { countUnderLock } from '../counts.ts';
import type { Switch } from '../declaration.ts';
import { type BusyProtocol, type ProtocolPool, SHRINK, type ShrinkResult } from '../protocol.ts';
import { on } from '../switches.ts';
import { failed, lockVictim } from './victim.ts';

export const leakFix = {
  name: 'leakFix',
  default: false,
  about: 'refcount-2013: a failed writeback frees an entry that nobody else has (October 2013).',
} as const satisfies Switch;

export const validate = {
  name: 'validate',
  default: false,
  about:
    'refcount-2013: writeback looks again, with the slot pinned, whether the entry is still the one (CVE-2023-53178).',
} as const satisfies Switch;

export const strandPageOnAbort = {
  name: 'strandPageOnAbort',
  default: false,
  about:
    'refcount-2013 with validate: neither drop nor unlock the page when that look fails, as Linux 6.4 to 6.7 (fixed by e3b63e966cac). There it had left the swap cache before, and a page of memory leaked; here the page is the pin, and the slot stays pinned. Needs unsafe.',
  needs: validate,
} as const satisfies Switch;

export const STEPS = {
  W1: 'writeback, which has picked its victim, looks it up and takes a reference',
  W2: 'takes a buffer and pins the slot',
  W3: 'decompresses the entry into the buffer',
  W4: 'starts the image write and unpins the slot',
  W5: 'drops its reference and takes the entry out of the tree',
  fail: 'gives up and drops its reference',
} as const;

export function shrinkOne(pool: ProtocolPool, m: number, busy: BusyProtocol): ShrinkResult {
  const none = lockVictim(pool, m);
  if (none !== null) return none;
  const { x, slot, e } = pool.walk;
  lru.rotate(pool.lru, pool.entries, m, e);
  sync.unlock(pool.lru.lock, m);
  return writeback(pool, x, slot, busy);
}

/** What it comes to for reclaim by pages: 0 of zswap_writeback_entry is true. `walk.e` is NONE once nothing is left. */
export function evict(pool: ProtocolPool, x: number, slot: number, busy: BusyProtocol): boolean {
  const result = writeback(pool, x, slot, busy);
  // An entry that a load still has was EAGAIN in 3.12, and no failure any more since the counts were refactored for 3.13.
  return pool.walk.e === NONE || (result === SHRINK.WRITTEN && on(pool, leakFix));
}

function writeback(pool: ProtocolPool, x: number, slot: number, busy: BusyProtocol): ShrinkResult {
  const { trees } = pool;
  const tree = treeOf(trees, x, slot);
  sync.step('W1');
  lockTree(trees, tree);
  // The allocator knew the slot, not the entry: what is there now is what is written back.
  const e = get(trees, tree, slot);
  if (e !== NONE) countUnderLock(pool, e, 1);
  unlockTree(trees, tree);
  pool.walk.e = e;
  if (e === NONE) return SHRINK.GONE;
  sync.step('W2');
  const buffer = pool.takePage(x);
  const r = buffer === 0 ? 0 : busy.pin(pool, x, slot);
  if (r <= 0) {
    if (buffer !== 0) pool.givePage(buffer);
    return fail(pool, tree, e, failed(pool, r));
  }
  return writePinned(pool, tree, slot, e, r, buffer);
}

function writePinned(pool: ProtocolPool, tree: number, slot: number, e: number, r: number, buffer: number) {
  const aborted = on(pool, validate) && !isCurrent(pool, tree, slot, e);
  if (!aborted) sync.step('W3');
  if (aborted || !pool.decompress(e, pool.page(buffer))) {
    // e3b63e966cac: the first version of the abort forgot to unlock the page and to drop it. The slot stays pinned, which is
    // more than was lost there, where the page had left the swap cache before that.
    if (!aborted || !on(pool, strandPageOnAbort)) {
      pool.givePage(buffer);
      pool.slots.unpin(r);
    }
    pool.count(aborted ? 'writeback_invalidated' : 'decompress_fail');
    return fail(pool, tree, e, aborted ? SHRINK.GONE : SHRINK.EIO);
  }
  sync.step('W4');
  pool.startWrite(r, buffer);
  pool.slots.unpin(r);
  return finish(pool, tree, slot, e);
}

function isCurrent(pool: ProtocolPool, tree: number, slot: number, e: number): boolean {
  lockTree(pool.trees, tree);
  const current = get(pool.trees, tree, slot);
  unlockTree(pool.trees, tree);
  return current === e;
}

/** 1: a load still runs, it frees. 0: free. -1: an invalidate has unlinked the entry already, free. */
function finish(pool: ProtocolPool, tree: number, slot: number, e: number): ShrinkResult {
  const { trees } = pool;
  sync.step('W5');
  lockTree(trees, tree);
  countUnderLock(pool, e, -1);
  const refs = countUnderLock(pool, e, -1);
  if (refs >= 0 && erase(trees, tree, slot) !== e) {
    // Where rb_erase would take out a node that is in no tree. Only an invalidate beside a load (E1, E2 broken) gets here.
    sync.violation('double unlink', `entry ${e} of slot ${slot} was taken out of its tree before`);
  }
  unlockTree(trees, tree);
  if (refs <= 0) free(pool, e);
  return SHRINK.WRITTEN;
}

function fail(pool: ProtocolPool, tree: number, e: number, result: ShrinkResult): ShrinkResult {
  sync.step('fail');
  lockTree(pool.trees, tree);
  const refs = countUnderLock(pool, e, -1);
  unlockTree(pool.trees, tree);
  // Without the fix: the entry was unlinked by an invalidate that left it to us, and nobody will ever free it.
  if (on(pool, leakFix) && refs <= 0) free(pool, e);
  return result;
}

function free(pool: ProtocolPool, e: number): void {
  pool.free(e);
  pool.walk.e = NONE;
}
