// Pages in and out, with and without O_DIRECT: what was written is read, holes are holes, zeros keep their room.
import { statSync } from 'node:fs';
import t from 'tap';
import { alignedBytes } from '#src/image/io.js';
import { dataExtents } from '#src/image/prepare.js';
import { filled, open, PAGE, punch, read, sync, write, zero } from './images.ts';

for (const direct of ['auto', 'off'] as const) {
  t.test(`O_DIRECT ${direct}`, async (t) => {
    const { image, handle } = open(t, 64, direct);
    if (direct === 'off') t.notOk(image.direct);

    await t.test('a run of pages comes back, and what was never written reads as zeros', async (t) => {
      t.equal(await write(handle, 3, filled(1, 2, 3)), 0);
      t.same(await read(handle, 2, 5), { errno: 0, pages: [0, 1, 2, 3, 0] });
    });

    await t.test('a punched slot reads as zeros and is a hole', async (t) => {
      t.equal(await punch(handle, 4, 1), 0);
      t.same(await read(handle, 3, 3), { errno: 0, pages: [1, 0, 3] });
      t.equal(await sync(handle), 0);
      t.same([...dataExtents(image)], [extent(3, 4), extent(5, 6)]);
    });

    await t.test('zeros that were asked for keep their room', async (t) => {
      t.equal(await write(handle, 32, filled(9, 9)), 0);
      t.equal(await zero(handle, 32, 3), 0);
      t.equal(await sync(handle), 0);
      t.same(await read(handle, 31, 5), { errno: 0, pages: [0, 0, 0, 0, 0] });
      t.same([...dataExtents(image)].at(-1), extent(32, 35));
    });
  });
}

t.test('runs longer than one system call', async (t) => {
  const { handle, path } = open(t, 3000);
  const pages = filled(...Array.from({ length: 1500 }, (_, at) => at % 251));
  t.equal(await write(handle, 700, pages), 0);
  const { errno, pages: found } = await read(handle, 700, 1500);
  t.equal(errno, 0);
  t.ok(found.every((value, at) => value === at % 251));
  t.equal(await zero(handle, 0, 3000), 0);
  t.ok((await read(handle, 0, 3000)).pages.every((value) => value === 0));
  t.ok(statSync(path).blocks * 512 >= 3000 * PAGE);
});

t.test('the last slot can be written, and what lies behind it is a mistake of the caller', async (t) => {
  const { handle } = open(t, 4);
  t.equal(await write(handle, 3, filled(7)), 0);
  t.same(await read(handle, 3, 1), { errno: 0, pages: [7] });
  t.throws(() => handle.write(4, filled(7), () => t.fail('called')), RangeError);
  t.throws(() => handle.read(0, 1, alignedBytes(PAGE), 1, () => t.fail('called')), RangeError);
});

t.test('a handle closes after its last transfer and refuses later ones', async (t) => {
  const { handle } = open(t, 8);
  const running = write(handle, 0, filled(1, 2, 3));
  handle.close();
  handle.close();
  t.equal(await running, 0);
  t.equal((await read(handle, 0, 1)).errno, 5);
});

function extent(from: number, to: number): { start: number; end: number } {
  return { start: from * PAGE, end: to * PAGE };
}
