// The corpus of `./scripts/bench --scale`: which pages of an image are taken, and which files are refused as one.
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { UsageError } from '#src/scripts/benchmark/options.js';
import { checkTarget, collectPages, openCorpus } from '#src/scripts/benchmark/scale/corpus.js';
import { tempFolder } from '../support/tmp.ts';

const PAGE = 4096;

/** A sparse image with pages that are full of their slot's number, where that is not 0. */
function image(t: Test, slots: readonly number[]): string {
  const path = join(tempFolder(t), 'swap0.img');
  const fd = openSync(path, 'w');
  ftruncateSync(fd, 2 ** 24);
  for (const slot of slots) writeSync(fd, Buffer.alloc(PAGE, slot % 256), 0, PAGE, slot * PAGE);
  closeSync(fd);
  return path;
}

function taken(path: string): number[] {
  const bytes = readFileSync(path);
  return Array.from({ length: bytes.length / PAGE }, (_, i) => bytes[i * PAGE]!);
}

t.test('pages with data are taken in their order, but not the swap header, zeros and holes', async (t) => {
  const from = image(t, [0, 1, 2, 256, 700, 1023]);
  const to = join(tempFolder(t), 'corpus');
  t.equal(collectPages(from, to, 100), 4);
  t.same(taken(to), [1, 2, 700 % 256, 1023 % 256]);
  t.equal(statSync(to).mode & 0o777, 0o600, "a guest's memory is its owner's");
});

t.test('of more pages than wanted some are taken evenly over all of the device', async (t) => {
  const slots = Array.from({ length: 200 }, (_, i) => i + 1);
  const to = join(tempFolder(t), 'corpus');
  t.equal(collectPages(image(t, slots), to, 50), 50);
  t.same(
    taken(to),
    slots.filter((slot) => slot % 4 === 1),
  );
});

t.test('an image without data gives no corpus', async (t) => {
  t.throws(() => collectPages(image(t, [0]), join(tempFolder(t), 'corpus'), 100), /no pages/);
});

t.test('a file is a corpus if it is whole pages', async (t) => {
  const folder = tempFolder(t);
  const file = (name: string, bytes: number): string => {
    writeFileSync(join(folder, name), Buffer.alloc(bytes, 1));
    return join(folder, name);
  };
  t.same(openCorpus(file('good', 3 * PAGE)), { path: join(folder, 'good'), pages: 3 });
  const refused = (path: string, says: RegExp): void => {
    t.throws(() => openCorpus(path), { message: says, constructor: UsageError });
  };
  refused(file('torn', PAGE + 1), /4097 bytes/);
  refused(file('empty', 0), /0 bytes/);
  refused(join(folder, 'missing'), /ENOENT/);
  refused(folder, /no regular file/);
});

t.test('a corpus is made outside of the checkout, and in the place of nothing', async (t) => {
  const folder = tempFolder(t);
  const root = join(folder, 'checkout');
  mkdirSync(join(root, 'var'), { recursive: true });
  const refused = (path: string, says: RegExp): void => {
    t.throws(() => checkTarget(root, path), { message: says, constructor: UsageError });
  };
  checkTarget(root, join(folder, 'corpus'));
  checkTarget(root, join(folder, 'checkout2'));
  refused(join(root, 'corpus'), /outside of the checkout/);
  refused(join(root, '../checkout/var/corpus'), /outside of the checkout/);
  writeFileSync(join(folder, 'there'), '');
  refused(join(folder, 'there'), /is there already/);
  refused(join(folder, 'no/folder'), /ENOENT/);
});
