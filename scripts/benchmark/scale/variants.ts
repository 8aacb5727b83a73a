/**
 * What `--scale` goes through, and where pages and groups lie in it.
 *
 * The full product of three counts, three depths and two sizes would be 18 rows, of which most say the same. So each axis has a
 * row in which it alone is at its end: 100 groups instead of one; then 4 and 16 levels below those; then 10,000 groups with the
 * same three depths, because what depth costs is paid per group on its path; and one group on a large device. The last row has
 * all three at their ends, where they would add up. One group at depths 4 and 16 is left out: it keeps its whole path in the
 * processor's cache, so that 100 groups show more.
 *
 * An agent of one export may name 8192 cgroups, so there are two exports in every row, also where one would do: then rows differ
 * in nothing but what they are named after. Each export has its own half of the groups; a single one is charged from both.
 */

/** An export of the large rows; the largest that there may be has 8 TiB. */
const SMALL = 2 ** 30;
const LARGE = 2 ** 42;

export const EXPORTS = 2;
export const PAGE = 4096;
/** Kernels give out swap slots by clusters of 2 MiB, so the pages of a row are as many clusters, evenly spread over the device. */
export const CLUSTER_BYTES = 2 ** 21;
const CLUSTER_SLOTS = CLUSTER_BYTES / PAGE;
/** Chains of folders above the groups: each group has its own up to here, and then they share them, as services share slices. */
const CHAINS_MAX = 100;

export interface Variant {
  readonly groups: number;
  /** Folders from the guest's root to a group, itself counted. */
  readonly depth: number;
  readonly exportBytes: number;
}

export const VARIANTS: readonly Variant[] = [
  { groups: 1, depth: 1, exportBytes: SMALL },
  { groups: 100, depth: 1, exportBytes: SMALL },
  { groups: 100, depth: 4, exportBytes: SMALL },
  { groups: 100, depth: 16, exportBytes: SMALL },
  { groups: 10_000, depth: 1, exportBytes: SMALL },
  { groups: 10_000, depth: 4, exportBytes: SMALL },
  { groups: 10_000, depth: 16, exportBytes: SMALL },
  { groups: 1, depth: 1, exportBytes: LARGE },
  { groups: 10_000, depth: 16, exportBytes: LARGE },
];

/**
 * What may be stored on each export, in MiB. Each group of the largest row needs a page, and fio goes on with the next cluster up to the
 * end of the device, so that clusters that don't divide it would take it to one that nobody has filled.
 */
export const DATA_MIB: readonly number[] = [32, 64, 128, 256, 512, 1024];

export function titleOf({ groups, depth, exportBytes }: Variant): string {
  const size = exportBytes === LARGE ? '4 TiB' : '1 GiB';
  const named = groups === 1 ? '1 memcg' : `${groups === 10_000 ? '10 000' : groups} memcgs`;
  return `${named}, depth ${depth}, ${size}`;
}

/** Bytes from the start of a cluster to that of the next one. */
export function strideBytes({ exportBytes }: Variant, dataBytes: number): number {
  return (exportBytes / dataBytes) * CLUSTER_BYTES;
}

/** The slot of page `i` of an export. */
export function slotOf(variant: Variant, dataBytes: number, i: number): number {
  const stride = strideBytes(variant, dataBytes) / PAGE;
  return Math.floor(i / CLUSTER_SLOTS) * stride + (i % CLUSTER_SLOTS);
}

/** Groups that export `x` has pages of: the first one, and how many. */
export function groupsOf({ groups }: Variant, x: number): { readonly first: number; readonly count: number } {
  if (groups < EXPORTS) return { first: 0, count: groups };
  const share = groups / EXPORTS;
  return { first: x * share, count: share };
}

/**
 * The group of page `i` of export `x`. Neighbours are of different groups, as in a guest that all of them push out at once; each
 * round moves every page on by one, and so to another group.
 */
export function groupOf(variant: Variant, x: number, i: number, round = 0): number {
  const { first, count } = groupsOf(variant, x);
  return first + ((i + round) % count);
}

/** Pages of group `k` on all exports, in the first round. */
export function pagesOf(variant: Variant, dataBytes: number, k: number): number {
  const pages = dataBytes / PAGE;
  let sum = 0;
  for (let x = 0; x < EXPORTS; x++) {
    const { first, count } = groupsOf(variant, x);
    if (k >= first && k < first + count) sum += Math.ceil((pages - (k - first)) / count);
  }
  return sum;
}

/** From the guest's root. */
export function pathOf({ groups, depth }: Variant, k: number): string {
  const chain = `/chain${k % Math.min(groups, CHAINS_MAX)}`;
  const above = Array.from({ length: depth - 1 }, (_, level) => (level === 0 ? chain : `/level${level}`));
  return `${above.join('')}/group${k}`;
}
