/**
 * Plain columns as an explorer's thread sees them: each read and write is checked against the column's owner, which is a
 * lock, a pin, or the entry's being alive. Between two scheduling points nothing can come in between, so without this a
 * lock that was forgotten would look like one that was taken.
 *
 * Columns that the façade uses as well can't be wrapped; the functions that use them plainly say so by sync.held.
 */

import { allocatorOf, type ObjectMemory } from '../../pool/allocator/index.ts';
import type { Buffers } from '../../pool/buffers.ts';
import { CLAIM_WORDS, CLAIMS_MAX, type Claims } from '../../pool/claims.ts';
import { type Entries, isLive } from '../../pool/entries.ts';
import type { Lists } from '../../pool/list_links.ts';
import { heirOf, type Memcgs } from '../../pool/memcg.ts';
import type { Owners } from '../../pool/owners.ts';
import type { Shared } from '../../pool/shared.ts';
import { bucketOf, FILLED, type SlotTable } from '../../pool/slot_table.ts';
import { STRIDE } from '../../pool/tree.ts';
import * as sync from '../../shm/sync.ts';
import type { Zswap } from '../../zswap/zswap.ts';

type Column = Int32Array | Uint32Array | Uint16Array | Uint8Array | Float64Array;
/** Why this thread may not touch element `i`, or null. */
type Rule = (i: number) => string | null;

const isIndex = (key: string | symbol): key is string => typeof key === 'string' && key >= '0' && key < ':';

/** `reads`: null for a column that anybody may look at for a hint. */
function guard<T extends Column>(name: string, column: T, writes: Rule, reads: Rule | null = writes): T {
  const ask = (rule: Rule | null, key: string): void => {
    const why = rule?.(Number(key)) ?? null;
    if (why !== null) sync.violation(why.includes('freed') ? 'use after free' : 'data race', `${name}[${key}]: ${why}`);
  };
  return new Proxy(column, {
    get(target, key): unknown {
      if (isIndex(key)) {
        ask(reads, key);
        return target[Number(key)];
      }
      const member: unknown = Reflect.get(target, key, target);
      return typeof member === 'function' ? member.bind(target) : member;
    },
    set(target, key, value: number): boolean {
      if (!isIndex(key)) return Reflect.set(target, key, value, target);
      ask(writes, key);
      target[Number(key)] = value;
      return true;
    },
  });
}

/** The table with some of its columns guarded by one rule. */
function guardAll<T extends object>(
  name: string,
  table: T,
  columns: readonly (keyof T & string)[],
  writes: Rule,
  reads: Rule | null = writes,
): T {
  const guarded = columns.map((column) => [column, guard(`${name}.${column}`, table[column] as Column, writes, reads)]);
  return { ...table, ...Object.fromEntries(guarded) };
}

/** Who looks: thread `thread`, which lock words know as `self`. `plain` is called before each use of an entry's fields. */
export interface Looker {
  readonly thread: number;
  readonly self: number;
  readonly plain: () => void;
}

/** The same shared memory with its plain columns guarded. */
export function guarded(shared: Shared, looker: Looker): Shared {
  const { entries, lru, memcgs, slotTable, zs, claims, trees } = shared;
  const holds = (words: Int32Array, index: number): boolean => words[index] === looker.self;
  const ownClaims = rule(
    (row) => holds(claims.control, Math.floor(row / CLAIMS_MAX) * CLAIM_WORDS),
    "the claims' lock",
  );
  const ownTree = rule(() => {
    for (let word = 0; word < trees.words.length; word += STRIDE) if (holds(trees.words, word)) return true;
    return false;
  }, 'a tree lock');
  const buffers = (set: Buffers): Buffers => {
    const own = rule(() => holds(set.control, 0), "the buffers' lock");
    return guardAll('buffers', set, ['next', 'owner'], own);
  };
  return {
    ...shared,
    entries: guardedEntries(entries, lru, memcgs, looker),
    lru: guardedLru(lru, looker),
    memcgs: {
      ...guardAll('memcgs', memcgs, ['state'], listLock(lru, looker), null),
      owners: guardedOwners(memcgs.owners, slotTable, claims, looker),
    },
    slotTable: guardedSlots(slotTable, looker),
    zs: guardedObjects(zs, looker),
    claims: guardAll('claims', claims, ['first', 'end', 'wantedFirst', 'wantedEnd', 'turn'], ownClaims),
    trees: guardAll('trees', trees, ['nodeCount', 'nodeDead'], ownTree),
    writebackBuffers: buffers(shared.writebackBuffers),
    requestBuffers: buffers(shared.requestBuffers),
    sums: guardedSums(shared, looker),
  };
}

function rule(held: (i: number) => boolean, what: string): Rule {
  return (i) => (held(i) ? null : `plain access without ${what}`);
}

/**
 * What strict durability owes of a slot is noted by whoever has the slot: noted by anybody else, it may be before the change
 * that it stands for, and a FLUSH in between would take it for what the slot held before. Its bits are façade operations, so
 * the check is where a debt is noted. `shared`: its columns are not guarded.
 */
export function guardDebts(zswap: Zswap, { slotTable, claims }: Shared): void {
  const noteDirty = zswap.noteDirty.bind(zswap);
  const holds = hasSlot(slotTable, claims, zswap.thread);
  zswap.noteDirty = (x, slot) => {
    if (zswap.shared.dirty !== null && !holds(x, slot))
      sync.violation('data race', `slot ${slot} is noted as dirty without its pin or a claim on it`);
    noteDirty(x, slot);
  };
}

/**
 * Whether slots are the thread's: by their pin, or by a claim. Whose claim it is no row says, and who pins a claimed slot now may
 * be about to undo that (slots.ts), so neither is asked.
 */
export function hasSlot(
  { locked, volume, slot: slots }: SlotTable,
  claims: Claims,
  thread: number,
): (x: number, slot: number) => boolean {
  return (x, slot) => {
    const pinned = locked.some((owner, r) => (owner & ~FILLED) === thread + 1 && volume[r] === x && slots[r] === slot);
    const rows = claims.end.subarray(x * CLAIMS_MAX, (x + 1) * CLAIMS_MAX);
    return pinned || rows.some((end, i) => slot < end && slot >= claims.first[x * CLAIMS_MAX + i]);
  };
}

/** What a list has is its lock's, and whether it is online. */
function listLock(lru: Lists, { self }: Looker): Rule {
  return rule((m) => lru.lock[m] === self, 'the LRU lock');
}

function guardedEntries(t: Entries, lru: Lists, memcgs: Memcgs, { self, plain }: Looker): Entries {
  const live: Rule = (e) => {
    plain();
    return isLive(t, e) ? null : `entry ${e} was freed and is used`;
  };
  const ofList = (e: number): boolean => lru.lock[heirOf(memcgs, t.memcg[e])] === self;
  const listed = rule((e) => ofList(e) || t.control[0] === self, 'the LRU lock');
  const fields = guardAll('entries', t, ['slot', 'volume', 'memcg', 'length', 'fill', 'stamp'], live);
  return guardAll('entries', fields, ['prev', 'next', 'dead'], listed);
}

/** Counts and charges are read for a hint by whoever decides what to shrink. */
function guardedLru(t: Lists, looker: Looker): Lists {
  const list = listLock(t, looker);
  return guardAll(
    'lru',
    guardAll('lru', t, ['head', 'tail', 'firstDead', 'unlinked', 'heldBack', 'dead'], list),
    ['count', 'charged'],
    list,
    null,
  );
}

/** `slot` and `volume` are not guarded: swapoff reads them for a hint (swapoff_op.ts says why it may). */
function guardedSlots(t: SlotTable, { thread, self }: Looker): SlotTable {
  const inBucket = (r: number): boolean => t.buckets[bucketOf(t.volume[r], t.slot[r])] === self;
  const pinned = (r: number): boolean => (t.locked[r] & ~FILLED) === thread + 1;
  const ofBucket = rule((r) => inBucket(r) || t.control[0] === self, "the slot bucket's lock");
  const ofPin = rule((r) => inBucket(r) || pinned(r), "the slot's pin or its bucket's lock");
  const fields = guardAll('slotTable', t, ['page', 'offLru'], ofPin);
  return guardAll('slotTable', fields, ['next', 'wb', 'retired', 'waiters', 'wants'], ofBucket);
}

/** Whose a slot is belongs to who has its pin, or a claim on it. */
function guardedOwners(t: Owners, table: SlotTable, claims: Claims, { thread }: Looker): Owners {
  const holds = hasSlot(table, claims, thread);
  const ofSlot = (x: number): Rule => rule((i) => holds(x, i), "the slot's pin or a claim on it");
  return { ...t, slots: t.slots.map((parts, x) => parts.map((part) => guard('owners.slots', part, ofSlot(x)))) };
}

/** What a slot was acknowledged to hold is noted by who has it. Anybody may look for a hint; who says that it is wrong, watched_sums.ts asks. */
function guardedSums({ sums, slotTable, claims }: Shared, { thread }: Looker): Shared['sums'] {
  const holds = hasSlot(slotTable, claims, thread);
  const ofSlot = (x: number): Rule => rule((slot) => holds(x, slot), "the slot's pin or a claim on it");
  return sums?.map((parts, x) => parts.map((part) => guard('sums', part, ofSlot(x), null))) ?? null;
}

function guardedObjects(t: ObjectMemory, { self }: Looker): ObjectMemory {
  return allocatorOf(t)
    .owned(t)
    .reduce((guarded, { columns, locksOf }) => {
      const own = rule((i) => locksOf(i).some(({ words, index }) => words[index] === self), "the allocator's lock");
      return guardAll('zs', guarded, columns as readonly (keyof ObjectMemory)[], own);
    }, t);
}
