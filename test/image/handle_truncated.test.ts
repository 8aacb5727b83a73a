// An image that becomes shorter than the device: EIO for ever, never zeros, on every handle of the image.
import { readFileSync, statSync, truncateSync } from 'node:fs';
import t from 'tap';
import { FLAG_GIVEN_UP } from '#src/zswap/image_file.js';
import { imageProblem } from '#src/zswap/image_problem.js';
import { filled, open, openHandle, PAGE, punch, read, sync, write } from './images.ts';

for (const direct of ['auto', 'off'] as const) {
  t.test(`a read that meets the end, O_DIRECT ${direct}`, async (t) => {
    const { path, image, flags, handle } = open(t, 16, direct);
    const other = openHandle(t, image, flags);
    t.equal(await write(handle, 0, filled(1, 2, 3, 4)), 0);
    // Not on a page: the half page in front of the end is not a page either.
    truncateSync(path, 2 * PAGE + 512);
    t.equal((await read(handle, 1, 3)).errno, 5);
    t.equal(flags[FLAG_GIVEN_UP], 1);
    truncateSync(path, 16 * PAGE);
    t.equal((await read(handle, 0, 1)).errno, 5, 'still EIO when the file is long again');
    t.equal((await read(other, 0, 1)).errno, 5, 'for other handles too');
    t.equal(await write(handle, 0, filled(5)), 5);
    t.equal(readFileSync(path)[0], 1, 'and what is refused is not written');
    t.equal(await punch(handle, 0, 1), 5);
    t.equal(await sync(handle), 5);
  });
}

t.test('a write past the new end is refused and does not make the file long again', async (t) => {
  const { path, image, handle } = open(t, 16);
  truncateSync(path, 4 * PAGE);
  t.match(await imageProblem(image), /size changed to 16384 bytes/);
  t.equal(await write(handle, 15, filled(1)), 5);
  t.equal(statSync(path).size, 4 * PAGE);
  t.equal((await read(handle, 0, 1)).errno, 5);
});

t.test('a read under way while another thread sees the file short', async (t) => {
  const { flags, handle } = open(t, 16);
  t.equal(await write(handle, 0, filled(1)), 0);
  const running = read(handle, 0, 1);
  flags[FLAG_GIVEN_UP] = 1;
  t.equal((await running).errno, 5);
});
