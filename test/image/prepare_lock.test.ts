// One image, one server: a second process is refused as long as the first lives, however that ends.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { prepareImage } from '#src/image/prepare.js';
import { tempFolder } from '../support/tmp.ts';
import { PAGE, prepare, refused } from './images.ts';

const bytes = 16 * PAGE;

t.test('a process that was killed leaves no lock', async (t) => {
  const path = join(tempFolder(t), 'image');
  const holder = await hold(t, path);
  t.match(
    refused(() => prepareImage({ path, bytes, direct: 'auto' })),
    { kind: 'locked', message: /^[^\n]*$/ },
  );
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  t.equal(prepare(t, { path, bytes, direct: 'auto' }).created, false);
});

async function hold(t: Test, path: string) {
  const script = resolve(REPOSITORY, 'dist/test/image/hold_image.js');
  const holder = spawn(process.execPath, [script, path, String(bytes)], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  return holder;
}
