// Reads that end inside a page, as a file system may: the rest of that page is read again, from its start.
import t from 'tap';
import { POOL_IO } from '#src/image/io.js';
import { EINTR, EIO } from '#src/os/errno.js';
import { filled, open, PAGE, read, write } from './images.ts';

for (const most of [PAGE + 512, PAGE - 512]) {
  t.test(`at most ${most} bytes of what was asked for`, async (t) => {
    const { handle } = open(t, 8, 'off');
    t.equal(await write(handle, 0, filled(1, 2, 3, 4)), 0);
    const whole = POOL_IO.read;
    t.teardown(() => {
      POOL_IO.read = whole;
    });
    let calls = 0;
    POOL_IO.read = (fd, into, position, done) => {
      // Only the first call of a page ends early: without progress a read is given up.
      const early = most > PAGE || calls++ % 2 === 0;
      whole(fd, early ? into.subarray(0, most) : into, position, done);
    };
    t.same(await read(handle, 0, 5), { errno: 0, pages: [1, 2, 3, 4, 0] });
  });
}

t.test('a read that was interrupted is asked for again, and not for ever', async (t) => {
  const { handle } = open(t, 8, 'off');
  t.equal(await write(handle, 0, filled(1, 2, 3, 4)), 0);
  const whole = POOL_IO.read;
  t.teardown(() => {
    POOL_IO.read = whole;
  });
  let interruptions = 2;
  POOL_IO.read = (fd, into, position, done) => {
    if (interruptions-- > 0) setImmediate(done, EINTR, 0);
    else whole(fd, into, position, done);
  };
  t.same(await read(handle, 0, 5), { errno: 0, pages: [1, 2, 3, 4, 0] });
  interruptions = Number.POSITIVE_INFINITY;
  t.match(await read(handle, 0, 1), { errno: EIO });
});
