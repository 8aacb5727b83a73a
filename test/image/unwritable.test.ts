// Images that can be opened for writing, and never written: refused before anybody writes to them.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { prepareImage, rehearseImage } from '#src/image/prepare.js';
import { run } from '../support/run_process.ts';
import { MAIN } from '../support/zswapd.ts';
import { loopDevice, mount, mountsMissing, PAGE, refused } from './images.ts';

const skip = mountsMissing();
const bytes = 256 * PAGE;

t.test('an active swap file', { skip }, async (t) => {
  const device = loopDevice(t, 2 ** 23);
  execFileSync('mkfs.ext4', ['-q', '-O', '^has_journal', device]);
  const folder = mount(t, 'ext4', device, 'noatime');
  const path = join(folder, 'swap');
  execFileSync('sh', [
    '-c',
    `head -c ${bytes} /dev/zero > ${path} && chmod 600 ${path} && mkswap -q ${path} && swapon ${path}`,
  ]);
  t.teardown(() => execFileSync('swapoff', [path]));
  const expected = {
    kind: 'locked',
    message: `${path}: is an active swap file of this machine, allowed: the file after \`swapoff ${path}\``,
  };
  for (const direct of ['auto', 'on', 'off'] as const) {
    t.match(
      refused(() => prepareImage({ path, bytes, direct })),
      expected,
    );
    t.match(rehearseImage({ path, bytes, direct }, folder), expected);
  }
  t.match(await run(MAIN, ['image', 'reset', path]), {
    code: 2,
    stderr: 'active swap file',
  });
});

t.test('a block device that is read-only', { skip }, async (t) => {
  const path = loopDevice(t, bytes, '-r');
  const expected = {
    kind: 'open',
    message: `${path}: can't be written (EPERM), allowed: an image that can be read and written`,
  };
  t.match(
    refused(() => prepareImage({ path, bytes, direct: 'auto' })),
    expected,
  );
  t.match(rehearseImage({ path, bytes, direct: 'auto' }, '/dev'), expected);
});
