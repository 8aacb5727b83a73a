// A loop device over a file system that hangs: no image but one over the same file waits for it.
import { truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { loopDevice, loopOver } from '../../image/images.ts';
import { fuseImage } from '../../support/fuse_image.ts';
import { missing } from '../../support/requires.ts';
import { runCommand } from '../../support/run_process.ts';
import { tempFolder } from '../../support/tmp.ts';
import { MAIN } from '../../support/zswapd.ts';
import { MIB } from './images.ts';

const skip = missing('root', '/dev/loop-control', '/dev/fuse', 'nbdfuse', 'nbdkit');

t.setTimeout(180_000);

t.test(
  'config check and image reset come to an end, for files, a file of that name, and devices',
  { skip },
  async (t) => {
    const disk = await fuseImage(t, { bytes: 8 * MIB });
    const hung = loopOver(t, disk.path);
    const device = loopDevice(t, 8 * MIB);
    const folder = tempFolder(t);
    const [other, namesake] = [join(folder, 'other'), join(folder, basename(disk.path))];
    for (const path of [other, namesake]) {
      writeFileSync(path, '');
      truncateSync(path, 8 * MIB);
    }
    await disk.freeze();
    t.teardown(() => disk.thaw());
    for (const image of [other, namesake, device]) {
      const sets = [`exports=${JSON.stringify([{ name: 'swap0', size: '8MiB', image }])}`, `listen.unix=${folder}/s`];
      const all = [...sets, 'control.listen=null'].flatMap((one) => ['--set', one]);
      // Killed, it has no exit code: that of a process that waits for the disk.
      const killed = (...args: string[]) =>
        runCommand('timeout', ['-s', 'KILL', '40', process.execPath, MAIN, ...args]);
      const check = await killed('config', 'check', ...all);
      t.equal(check.code, 0, image);
      // What the kernel still remembers of the file it answers at once, for a second.
      if (image === device) t.match(check.stderr, `${hung}: no answer in`);
      t.match(await killed('image', 'reset', image), { code: 0, stderr: /is not stale/ });
    }
  },
);
