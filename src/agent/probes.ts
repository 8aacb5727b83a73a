// What is asked of the kernel: the probes' definitions, as /sys/kernel/tracing/kprobe_events takes them.
import type { Btf } from './btf.ts';
import { CHARGE, type KernelLayout, UNCHARGE } from './kernel_layout.ts';

/** All probes of the agent are in this group, and nothing else is. */
export const GROUP = 'zswapd';

export interface Probe {
  readonly name: string;
  readonly definition: string;
}

/** A slot is given to a folio: which, the number of the folio's cgroup, its flags, and how many pages a large one has. */
export function chargeProbe(k: KernelLayout): Probe {
  const { offset, bits } = k.size;
  const cgroup = `+${k.inode}(+${k.kernfsNode}(+${k.cgroup}(+${k.memcgData}($arg1))))`;
  const head = `+${k.folioFlags + (k.headBit >>> 3)}($arg1)`;
  const fields = [
    'e=$arg2:x64',
    `cg=${cgroup}:u64`,
    // The lowest byte has the flags of memcg_data: where one is set, this is no plain page of a cgroup.
    `kind=+${k.memcgData}($arg1):x8`,
    `head=${head}:x8`,
    `size=+${offset}($arg1):u${bits}`,
  ];
  return probe('charge', CHARGE, fields);
}

/** So many slots are free in the guest, from here on. */
export function freeProbe(): Probe {
  return probe('free', UNCHARGE, ['e=$arg1:x64', 'n=$arg2:u32']);
}

/** Runs once per line of /proc/swaps while somebody reads it: which device has which swap type. Undefined where BTF lacks it. */
export function deviceProbe(btf: Btf): Probe | undefined {
  const type = btf.member('swap_info_struct', 'type');
  const bdev = btf.member('swap_info_struct', 'bdev');
  const device = btf.member('block_device', 'bd_dev');
  const fits = btf.prototype('swap_show') === 'int swap_show(struct seq_file *, void *)';
  if (!fits || type === undefined || bdev === undefined || device === undefined) return undefined;
  const fields = [
    'row=$arg2:x64',
    `type=+${type.offset}($arg2):u8`,
    `dev=+${device.offset}(+${bdev.offset}($arg2)):u32`,
  ];
  return probe('device', 'swap_show', fields);
}

function probe(name: string, symbol: string, fields: readonly string[]): Probe {
  return { name, definition: `p:${GROUP}/${name} ${symbol} ${fields.join(' ')}` };
}
