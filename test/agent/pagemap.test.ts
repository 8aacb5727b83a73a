import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { scanPagemaps } from '#src/agent/pagemap.js';
import { mappingOf, writeProcess } from '../support/proc_folder.ts';
import { tempFolder } from '../support/tmp.ts';

t.test(
  'slots of the device are found, of processes that have some, and mappings are read as far as they have any',
  async (t) => {
    const proc = tempFolder(t);
    const heap = 0x559a3000;
    const empty = 0x7f0000000;
    // 512 GiB, as a runtime reserves it.
    const large = 0x7f1000000;
    const smaps = mappingOf(heap, 8, 3) + mappingOf(empty, 16, 0) + mappingOf(large, 2 ** 27, 2);
    const swapped = new Map<number, readonly [number, number]>([
      [heap, [1, 100]],
      [heap + 2, [0, 101]],
      [heap + 3, [1, 2 ** 40 + 5]],
      // Not in a mapping that says it has swap.
      [empty, [1, 7]],
      [large, [1, 200]],
      [large + 1, [1, 201]],
      // Behind as many as the mapping says it has.
      [large + 0x100000, [1, 999]],
    ]);
    writeProcess(proc, { pid: 42, cgroup: '/a/b', smaps, swapped });
    writeProcess(proc, { pid: 43, cgroup: '/a', smaps, swapped: new Map() });
    // No process, and one that has just ended.
    mkdirSync(join(proc, 'net'));
    mkdirSync(join(proc, '44'));

    const counts = { processes: 0, pages: 0, skipped: 0 };
    t.same(
      [...scanPagemaps(1, counts, proc)],
      [
        { path: '/a/b', slots: [100, 2 ** 40 + 5] },
        { path: '/a/b', slots: [200, 201] },
      ],
    );
    t.same(counts, { processes: 1, pages: 4, skipped: 0 });
  },
);

t.test('of a mapping that is too large the rest is counted', async (t) => {
  const proc = tempFolder(t);
  const swapped = new Map<number, readonly [number, number]>([[0x1000, [1, 5]]]);
  // A byte of pagemap would be 128 GiB away: the file is as long as what was looked at.
  writeProcess(proc, { pid: 42, cgroup: '/', smaps: mappingOf(0x1000, 2 ** 26 + 10, 2), swapped });
  const counts = { processes: 0, pages: 0, skipped: 0 };
  t.same([...scanPagemaps(1, counts, proc)], [{ path: '/', slots: [5] }]);
  t.equal(counts.skipped, 10);
});

t.test('this machine is looked at without complaint', async (t) => {
  const counts = { processes: 0, pages: 0, skipped: 0 };
  t.same([...scanPagemaps(31, counts)], [], 'of a swap type that no device has');
});
