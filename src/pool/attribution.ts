/**
 * Attribution: which memcg the page of a slot is stored for. NBD does not carry it, so each export says how it is known:
 *
 *   export   all of it belongs to the export's memcg
 *   ranges   ranges of slots have memcgs of their own, as a guest has them that gives each partition of its swap to other
 *            cgroups; a slot in no range belongs to the export's memcg
 *   agent    somebody in the guest says it of each slot, as it changes (owners.ts)
 *
 * Ranges are what the config says: they stay as they are while the server runs, in the order of their slots, and don't overlap.
 * They are asked for each store, so an export without any costs a comparison.
 */
import { assert } from '../shm/assert.ts';
import { int32, uint32 } from '../shm/columns.ts';
import { EXPORTS_MAX } from './limits.ts';
import { createOwners, hasAgent, NOBODY, type Owners, ownerRow, ownsFor, rowOfNumber } from './owners.ts';

/** Of all exports together. */
export const RANGES_MAX = 4096;

/** What a config says of a range: slots [first, end). */
export interface SlotRange {
  readonly first: number;
  readonly end: number;
  /** Index in the list of memcgs. */
  readonly memcg: number;
}

export interface Attribution {
  /** Per export: the memcg of what is in no range. */
  readonly ofExport: Int32Array;
  /** Per export the index of its first range, and one more for the end of the last. */
  readonly rangeBegin: Int32Array;
  readonly rangeFirst: Uint32Array;
  readonly rangeEnd: Uint32Array;
  readonly rangeMemcg: Int32Array;
  readonly owners: Owners;
}

/** `ranges`: how many there are. `agents`: pages of each export, 0 for one without an agent. */
export function createAttribution(ranges: number, agents: readonly number[]): Attribution {
  assert(ranges <= RANGES_MAX, 'ranges are bounded');
  return {
    ofExport: int32(EXPORTS_MAX),
    rangeBegin: int32(EXPORTS_MAX + 1),
    rangeFirst: uint32(ranges),
    rangeEnd: uint32(ranges),
    rangeMemcg: int32(ranges),
    owners: createOwners(agents),
  };
}

/** Notes the ranges of export `x`, sorted, behind those of the exports before it. `rowOf`: the row of a memcg of the list. */
export function noteRanges(
  a: Attribution,
  x: number,
  ranges: readonly SlotRange[],
  rowOf: (memcg: number) => number,
): void {
  let at = a.rangeBegin[x];
  for (const { first, end, memcg } of ranges) {
    assert(
      first < end && (at === a.rangeBegin[x] || first >= a.rangeEnd[at - 1]),
      'ranges are in order and do not overlap',
    );
    a.rangeFirst[at] = first;
    a.rangeEnd[at] = end;
    a.rangeMemcg[at] = rowOf(memcg);
    at++;
  }
  a.rangeBegin.fill(at, x + 1);
}

/** The memcg of a slot. Its pin is held. */
export function ownerOf(a: Attribution, x: number, slot: number): number {
  if (hasAgent(a.owners, x)) return ownerRow(a.owners, x, slot);
  let low = a.rangeBegin[x];
  let high = a.rangeBegin[x + 1];
  // The first range that ends behind the slot.
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (a.rangeEnd[middle] <= slot) low = middle + 1;
    else high = middle;
  }
  return low < a.rangeBegin[x + 1] && a.rangeFirst[low] <= slot ? a.rangeMemcg[low] : a.ofExport[x];
}

/** Whether what export `x` has in memcg `m` is a cgroup of its guest, and not the export itself or what nobody claims. */
export function isOfCgroup(a: Attribution, x: number, m: number): boolean {
  return hasAgent(a.owners, x) && a.ofExport[x] !== m && rowOfNumber(a.owners, x, NOBODY) !== m;
}

/** An export that has slots of memcg `m`, or -1. */
export function exportOf(a: Attribution, m: number, exports: number): number {
  for (let x = 0; x < exports; x++) {
    if (ownsFor(a.owners, x, m)) return x;
    if (a.ofExport[x] === m || a.rangeMemcg.subarray(a.rangeBegin[x], a.rangeBegin[x + 1]).includes(m)) return x;
  }
  return -1;
}
