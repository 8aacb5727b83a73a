// What the probes need to know of this kernel: the prototypes of the two functions that they stand on, and where in which struct
// the number of a folio's cgroup is. All of it comes from BTF; a kernel that differs is refused with what differs.
import type { Btf, Member } from './btf.ts';
import { Problem } from './problem.ts';

export const CHARGE = '__mem_cgroup_try_charge_swap';
export const UNCHARGE = '__mem_cgroup_uncharge_swap';

/** As kernels have them from 5.17 (folios) until `entry` was dropped. */
const PROTOTYPES: readonly (readonly [string, string])[] = [
  [CHARGE, `int ${CHARGE}(struct folio *, swp_entry_t)`],
  [UNCHARGE, `void ${UNCHARGE}(swp_entry_t, unsigned int)`],
];

/** Where a large folio tells its size: as a count of pages, or as an order. */
export interface FolioSize {
  readonly offset: number;
  readonly bits: 8 | 32 | 64;
  readonly what: 'pages' | 'order';
}

export interface KernelLayout {
  readonly memcgData: number;
  /** In struct mem_cgroup. */
  readonly cgroup: number;
  /** In struct cgroup. */
  readonly kernfsNode: number;
  /** In struct kernfs_node. */
  readonly inode: number;
  readonly folioFlags: number;
  /** The bit of a folio's flags that says it is a large one. */
  readonly headBit: number;
  readonly size: FolioSize;
}

/** Throws a Problem that names every difference. */
export function readLayout(btf: Btf): KernelLayout {
  const differences: string[] = [];
  for (const [name, wanted] of PROTOTYPES) {
    const found = btf.prototype(name);
    if (found !== wanted) differences.push(found === undefined ? `there is no ${name}` : `${found} is not ${wanted}`);
  }
  const offset = (struct: string, path: string): number => {
    const found = btf.member(struct, path);
    if (found === undefined) differences.push(`struct ${struct} has no ${path}`);
    return found?.offset ?? 0;
  };
  const headBit = btf.enumerator('PG_head');
  if (headBit === undefined) differences.push('no enum has PG_head');
  const layout: KernelLayout = {
    memcgData: offset('folio', 'memcg_data'),
    cgroup: offset('mem_cgroup', 'css.cgroup'),
    kernfsNode: offset('cgroup', 'kn'),
    inode: offset('kernfs_node', 'id'),
    folioFlags: offset('folio', 'flags'),
    headBit: headBit ?? 0,
    size: folioSize(btf, differences),
  };
  if (differences.length > 0) throw new Problem(`the probes do not fit this kernel: ${differences.join('; ')}`);
  return layout;
}

function folioSize(btf: Btf, differences: string[]): FolioSize {
  const bitsOf = ({ type }: Member): 8 | 32 | 64 | undefined =>
    (({ 1: 8, 4: 32, 8: 64 }) as const)[btf.sizeOf(type) ?? 0];
  for (const [name, what] of [
    ['_folio_nr_pages', 'pages'],
    ['_nr_pages', 'pages'],
    ['_folio_order', 'order'],
  ] as const) {
    const found = btf.member('folio', name);
    const bits = found === undefined ? undefined : bitsOf(found);
    if (found !== undefined && bits !== undefined) return { offset: found.offset, bits, what };
  }
  // Since 6.6 the order is the lowest byte of the second page's flags, whatever else there is.
  const flags = btf.member('folio', '_flags_1');
  if (flags !== undefined) return { offset: flags.offset, bits: 8, what: 'order' };
  differences.push('struct folio tells the size of a large one in no way that is known');
  return { offset: 0, bits: 8, what: 'order' };
}
