/** Processes as /proc shows them, as far as pagemap is looked at: files of the kernel's formats in a folder of ours. */
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const PAGE = 4096;

export interface ProcProcess {
  readonly pid: number;
  readonly cgroup: string;
  readonly smaps: string;
  /** By page of the address space: swap type and slot. */
  readonly swapped: ReadonlyMap<number, readonly [number, number]>;
}

/** `swapped` pages are all in one mapping of its own. */
export function mappingOf(first: number, pages: number, swapped: number): string {
  const address = (page: number): string => (page * PAGE).toString(16);
  return `${address(first)}-${address(first + pages)} rw-p 00000000 00:00 0
Size:           ${pages * 4} kB
Swap:           ${swapped * 4} kB
SwapPss:        ${swapped * 4} kB
VmFlags: rd wr mr mw me ac
`;
}

export function writeProcess(proc: string, { pid, cgroup, smaps, swapped }: ProcProcess): void {
  const folder = join(proc, String(pid));
  mkdirSync(folder);
  writeFileSync(join(folder, 'status'), `Name:\tx\nVmSwap:\t      ${swapped.size * 4} kB\n`);
  writeFileSync(join(folder, 'cgroup'), `0::${cgroup}\n`);
  writeFileSync(join(folder, 'smaps'), smaps);
  const pagemap = openSync(join(folder, 'pagemap'), 'w');
  for (const [page, [type, slot]] of swapped) {
    const entry = Buffer.alloc(8);
    entry.writeBigUInt64LE((1n << 62n) | (BigInt(slot) << 5n) | BigInt(type));
    writeSync(pagemap, entry, 0, 8, page * 8);
  }
  closeSync(pagemap);
}
