// What became of the file behind a loop device while the device was an image: its node looks the same whatever that is.
import { copyFileSync, mkdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { imageProblem } from '#src/image/problem.js';
import { tempFolder } from '../support/tmp.ts';
import { loopOver, mountsMissing, prepare } from './images.ts';

const skip = mountsMissing();
const MIB = 2 ** 20;

/** A disk of 8 MiB in a folder of its own, and half of what a loop device shows of it as an image. */
function served(t: Test, ...args: string[]) {
  const folder = join(tempFolder(t), 'disks');
  mkdirSync(folder);
  const file = join(folder, 'disk');
  writeFileSync(file, '');
  truncateSync(file, 8 * MIB);
  const device = loopOver(t, file, ...args);
  const image = prepare(t, { path: device, bytes: 3 * MIB, direct: 'off' });
  return { folder, file, device, problem: () => imageProblem(image) };
}

for (const [what, args, end] of [
  ['all', [], 3 * MIB],
  ['a part', ['-o', String(2 * MIB)], 5 * MIB],
] as const) {
  const gone = /disk behind \/dev\/loop\d+: was moved, deleted or replaced$/;

  t.test(`${what} of a file: that it was deleted is found`, { skip }, async (t) => {
    const { file, problem } = served(t, ...args);
    t.equal(await problem(), null);
    rmSync(file);
    t.match(await problem(), gone);
  });

  t.test(`${what} of a file: that another is in its place is found`, { skip }, async (t) => {
    const { file, problem } = served(t, ...args);
    copyFileSync(file, `${file}.copy`);
    renameSync(`${file}.copy`, file);
    t.match(await problem(), gone);
  });

  t.test(`${what} of a file: that its folder was moved is found`, { skip }, async (t) => {
    const { folder, problem } = served(t, ...args);
    renameSync(folder, join(dirname(folder), 'moved'));
    t.match(await problem(), gone);
    writeFileSync(folder, '');
    t.match(await problem(), gone);
  });

  t.test(`${what} of a file: what was cut from the image is missed, and nothing else`, { skip }, async (t) => {
    const { file, problem } = served(t, ...args);
    for (const bytes of [9 * MIB, end]) {
      truncateSync(file, bytes);
      t.equal(await problem(), null, `${bytes} bytes`);
    }
    truncateSync(file, end - 1);
    t.match(await problem(), new RegExp(`disk behind /dev/loop\\d+: its size changed to ${end - 1} bytes$`));
  });
}
