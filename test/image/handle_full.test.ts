// A full disk is ENOSPC on the request that met it; what was there before stays readable.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { filled, loopDevice, mount, mountsMissing, openHandle, PAGE, prepare, punch, read, write } from './images.ts';

const skip = mountsMissing();
const PAGES = 4096;
const MIB = 2 ** 20;

t.test('tmpfs', { skip }, async (t) => {
  const folder = mount(t, 'tmpfs', 'none', 'size=1m');
  await fill(t, join(folder, 'image'));
});

t.test('ext4 on a loop device', { skip }, async (t) => {
  const device = loopDevice(t, 8 * MIB);
  execFileSync('mkfs.ext4', ['-q', '-O', '^has_journal', device]);
  const folder = mount(t, 'ext4', device, 'noatime');
  await fill(t, join(folder, 'image'));
});

async function fill(t: Test, path: string): Promise<void> {
  const handle = openHandle(t, prepare(t, { path, bytes: PAGES * PAGE, direct: 'auto' }));
  const pages = filled(...new Array<number>(64).fill(7));
  let slot = 0;
  let errno = 0;
  for (; errno === 0 && slot < PAGES; slot += pages.length) errno = await write(handle, slot, pages);
  t.equal(errno, 28);
  t.same(await read(handle, 0, 1), { errno: 0, pages: [7] });
  t.equal(await punch(handle, 0, slot), 0);
  t.equal(await write(handle, slot, pages), 0, 'there is room again');
}
