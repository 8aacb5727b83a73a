import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { scanPagemaps } from '#src/agent/pagemap.js';
import { tempFolder } from '../support/tmp.ts';

const SMAPS = `559a3000000-559a3008000 rw-p 00000000 00:00 0                          [heap]
Size:                 32 kB
Swap:                 12 kB
SwapPss:              12 kB
VmFlags: rd wr mr mw me ac
7f0000000000-7f0000010000 rw-p 00000000 00:00 0
Size:                 64 kB
Swap:                  0 kB
7f1000000000-7f9000000000 rw-p 00000000 00:00 0
Size:          536870912 kB
Swap:                  8 kB
`;

function swapped(type: number, slot: number): Buffer {
  const entry = Buffer.alloc(8);
  entry.writeBigUInt64LE((1n << 62n) | (BigInt(slot) << 5n) | BigInt(type));
  return entry;
}

t.test(
  'slots of the device are found, of processes that have some, and mappings are read as far as they have any',
  async (t) => {
    const proc = tempFolder(t);
    const process = (pid: number, swapKib: number): string => {
      const folder = join(proc, String(pid));
      mkdirSync(folder);
      writeFileSync(join(folder, 'status'), `Name:\tx\nVmSwap:\t      ${swapKib} kB\n`);
      writeFileSync(join(folder, 'cgroup'), '0::/a/b\n');
      writeFileSync(join(folder, 'smaps'), SMAPS);
      return folder;
    };
    const pagemap = openSync(join(process(42, 20), 'pagemap'), 'w');
    const put = (page: number, entry: Buffer): void => void writeSync(pagemap, entry, 0, 8, page * 8);
    put(0x559a3000, swapped(1, 100));
    put(0x559a3002, swapped(0, 101));
    put(0x559a3003, swapped(1, 2 ** 40 + 5));
    // Not in a mapping that says it has swap.
    put(0x7f0000000, swapped(1, 7));
    put(0x7f1000000, swapped(1, 200));
    put(0x7f1000001, swapped(1, 201));
    // Behind as many as the mapping says it has.
    put(0x7f1100000, swapped(1, 999));
    closeSync(pagemap);
    process(43, 0);
    mkdirSync(join(proc, 'net'));
    mkdirSync(join(proc, '44'));

    const counts = { processes: 0, pages: 0, skipped: 0 };
    const slices = [...scanPagemaps(1, counts, proc)];
    t.same(slices, [
      { path: '/a/b', slots: [100, 2 ** 40 + 5] },
      { path: '/a/b', slots: [200, 201] },
    ]);
    t.same(counts, { processes: 1, pages: 4, skipped: 0 });
  },
);

t.test('this machine is looked at without complaint', async (t) => {
  const counts = { processes: 0, pages: 0, skipped: 0 };
  t.same([...scanPagemaps(31, counts)], [], 'of a swap type that no device has');
});
