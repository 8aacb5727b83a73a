// Inode numbers above 2^53, as an overlay, Lustre or NTFS has them: a double has not enough digits to tell two of them apart.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { checkEnvironment } from '#src/config/environment.js';
import { loadConfigText } from '#src/config/load.js';
import { prepareImage } from '#src/image/prepare.js';
import { imageProblem } from '#src/image/problem.js';
import { tempFolder } from '../support/tmp.ts';
import { loopOver, mount, mountsMissing, PAGE, prepare, refused } from './images.ts';

const skip = mountsMissing();
const bytes = 16 * PAGE;

/** Two files of an overlay that keeps the number of its lower file system in the highest bits of theirs. */
function twoFiles(t: Test): { a: string; b: string } {
  const [lower, disk] = [mount(t, 'tmpfs', 'lower', 'inode64'), mount(t, 'tmpfs', 'upper', 'size=64m')];
  for (const name of ['a', 'b']) writeFileSync(join(lower, name), Buffer.alloc(bytes));
  const [upper, work] = [join(disk, 'upper'), join(disk, 'work')];
  for (const folder of [upper, work]) mkdirSync(folder);
  const merged = mount(t, 'overlay', 'overlay', `lowerdir=${lower},upperdir=${upper},workdir=${work},xino=on`);
  return { a: join(merged, 'a'), b: join(merged, 'b') };
}

t.test('an image that another file has replaced is noticed at the end', { skip }, async (t) => {
  const { a, b } = twoFiles(t);
  const image = prepare(t, { path: a, bytes, direct: 'off' });
  t.equal(await imageProblem(image), null);
  renameSync(b, a);
  t.match(await imageProblem(image), /was moved, deleted or replaced/);
});

t.test('two images have two identities, and are no one file', { skip }, async (t) => {
  const { a, b } = twoFiles(t);
  const first = prepare(t, { path: a, bytes, direct: 'off' });
  t.not(first.identity, prepare(t, { path: b, bytes, direct: 'off' }).identity);
  t.match(first.identity, /^\d+:\d+$/);
  const folder = tempFolder(t);
  const config = {
    listen: { unix: join(folder, 's') },
    control: { listen: null },
    exports: [a, b].map((image, at) => ({ name: `swap${at}`, size: String(bytes), image })),
  };
  const lines = checkEnvironment(loadConfigText(join(folder, 'c'), JSON.stringify(config)).config);
  t.notMatch(lines.join('\n'), /is the same file/);
});

t.test('a loop device is over one of them, and the other is free', { skip }, async (t) => {
  const { a, b } = twoFiles(t);
  loopOver(t, a);
  t.match(
    refused(() => prepareImage({ path: a, bytes, direct: 'off' })),
    { kind: 'locked' },
  );
  prepare(t, { path: b, bytes, direct: 'off' });
});
