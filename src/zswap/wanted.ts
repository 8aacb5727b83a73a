/** What somebody wants to be written back: plain values, so that it can be sent to the shrinker's thread. */
import { ageOf, type Clock, unusedSince } from '../pool/access_time.ts';
import { type Entries, isLive, LENGTH_SAME_FILLED } from '../pool/entries.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { heirOf, type Memcgs, ROOT } from '../pool/memcg.ts';

/** Pages of an export, as /block/<export>/writeback names them. */
export interface WantedOfExport {
  readonly x: number;
  /** Stored raw: zram's huge and its incompressible, because what does not compress is tried by one compressor alone. */
  readonly huge: boolean;
  /** Not used since this tick; null: whenever it was. */
  readonly unusedSince: number | null;
  /** Slots [first, end), in their order, and none that meets another; null: all. */
  readonly slots: readonly (readonly [first: number, end: number])[] | null;
}

/** Bytes of objects of a memcg and what is below it, as memory.reclaim with an age asks for them. */
interface WantedOfMemcg {
  readonly m: number;
  readonly bytes: number;
  readonly unusedSince: number;
}

export type Wanted = WantedOfExport | WantedOfMemcg;

/** What came of it. */
export type Outcome =
  | 'done'
  | 'less'
  | 'limit'
  | 'budget'
  | 'busy'
  | 'failed'
  | 'unreadable'
  | 'off'
  | 'time'
  | 'crowded';

/**
 * Whether entry `e` is wanted, by what its columns say. The caller holds lockLives, so that what is alive stays so; but one
 * that is only being stored has fields from before, so this is a hint, and whoever acts on it asks again under the lock of
 * its list. A same-filled page has no object to get rid of. `since`: that of `wanted`, or another tick.
 */
export function isWanted(
  wanted: Wanted,
  since: number | null,
  t: Entries,
  memcgs: Memcgs,
  clock: Clock,
  e: number,
): boolean {
  if (!isLive(t, e) || t.length[e] === LENGTH_SAME_FILLED) return false;
  if (since !== null && !unusedSince(clock, t, e, since)) return false;
  if ('m' in wanted) return isBelow(memcgs, t.memcg[e], wanted.m);
  if (t.volume[e] !== wanted.x || (wanted.huge && t.length[e] !== PAGE_SIZE)) return false;
  return wanted.slots === null || isAmong(wanted.slots, t.slot[e]);
}

/** As many ranges as one value of a file has room for, a few hundred: halved until one is left. */
function isAmong(ranges: readonly (readonly [first: number, end: number])[], slot: number): boolean {
  let low = 0;
  for (let high = ranges.length; low < high; ) {
    const middle = (low + high) >>> 1;
    if (ranges[middle][1] <= slot) low = middle + 1;
    else high = middle;
  }
  return low < ranges.length && slot >= ranges[low][0];
}

/** `m` itself is. A row's parent stays while it is in use, also when it is offline. */
function isBelow(memcgs: Memcgs, m: number, above: number): boolean {
  let row = heirOf(memcgs, m);
  while (row !== above && row !== ROOT) row = memcgs.parent[row];
  return row === above;
}

const AGES = 33;

/**
 * Bytes by age, in powers of two of ticks: which age is enough to have so many, so that the coldest go, whatever place they
 * have in the table.
 */
export class Ages {
  private readonly bytes = new Float64Array(AGES);

  add(age: number, bytes: number): void {
    this.bytes[bucketOf(age)] += bytes;
  }

  /** The tick from before which on there are `wanted` bytes; `since` where all have to go. */
  coldest(clock: Clock, since: number, wanted: number): number {
    const least = bucketOf(ageOf(clock, since));
    let sum = 0;
    for (let bucket = AGES - 1; bucket > least; bucket--) {
      sum += this.bytes[bucket];
      if (sum >= wanted) return (clock[0] - 2 ** (bucket - 1)) >>> 0;
    }
    return since;
  }
}

/** 0 for age 0, else n + 1 for ages from 2^n on. */
function bucketOf(age: number): number {
  return 32 - Math.clz32(age);
}
