// An image file at start: created sparse, its size checked, O_DIRECT found out, nothing harmed that is not an image.
import { existsSync, linkSync, mkdirSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { dataExtents, ImageHandle, prepareImage } from '#src/zswap/image_file.js';
import { imageProblem } from '#src/zswap/image_problem.js';
import { tempFolder } from '../support/tmp.ts';
import { newFlags, PAGE, prepare, refused } from './images.ts';

const bytes = 16 * PAGE;

t.test('a missing file is created sparse, and found again', async (t) => {
  const path = join(tempFolder(t), 'image');
  const image = prepare(t, { path, bytes, direct: 'auto' });
  t.match(image, { created: true, bytes, blockDevice: false, path });
  t.match(statSync(path), { size: bytes, blocks: 0 });
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.same([...dataExtents(image)], []);
  t.match(
    refused(() => prepareImage({ path, bytes, direct: 'auto' })),
    { kind: 'locked' },
  );
});

t.test('a file of another size is refused and left alone', async (t) => {
  const path = join(tempFolder(t), 'image');
  writeFileSync(path, 'x'.repeat(PAGE));
  t.match(
    refused(() => prepareImage({ path, bytes, direct: 'auto' })),
    { kind: 'size', message: /allowed: 4096$/ },
  );
  t.equal(statSync(path).size, PAGE);
  // The lock of the refused attempt is gone.
  t.notOk(prepare(t, { path, bytes: PAGE, direct: 'off' }).created);
});

t.test('what is not an image', async (t) => {
  const folder = tempFolder(t);
  const path = join(folder, 'no/image');
  t.match(
    refused(() => prepareImage({ path, bytes, direct: 'auto' })),
    { kind: 'open' },
  );
  t.notOk(existsSync(path));
  t.match(
    refused(() => prepareImage({ path: folder, bytes, direct: 'auto' })),
    { kind: 'type' },
  );
  t.match(
    refused(() => prepareImage({ path: '/dev/null', bytes, direct: 'auto' })),
    { kind: 'type' },
  );
});

t.test('a link leads to the one path that has the marker; a second hard link is refused', async (t) => {
  const folder = tempFolder(t);
  const path = join(folder, 'image');
  writeFileSync(path, 'x'.repeat(PAGE));
  symlinkSync(path, join(folder, 'link'));
  t.equal(prepare(t, { path: join(folder, 'link'), bytes: PAGE, direct: 'auto' }).path, path);
  linkSync(path, join(folder, 'twin'));
  t.match(
    refused(() => prepareImage({ path: join(folder, 'twin'), bytes: PAGE, direct: 'auto' })),
    { kind: 'type' },
  );
});

t.test('a replaced file is noticed by a new handle and at the end', async (t) => {
  const folder = tempFolder(t);
  const path = join(folder, 'image');
  const image = prepare(t, { path, bytes, direct: 'auto' });
  t.equal(await imageProblem(image), null);
  renameSync(path, join(folder, 'old'));
  t.match(await imageProblem(image), /moved, deleted or replaced/);
  mkdirSync(join(folder, 'other'));
  writeFileSync(path, 'x'.repeat(bytes));
  t.match(
    refused(() => new ImageHandle(image, newFlags())),
    { kind: 'replaced' },
  );
  t.match(await imageProblem(image), /moved, deleted or replaced/);
  rmSync(path);
});
