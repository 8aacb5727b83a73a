// Two servers that find no image at the same moment: one creates it, the other goes on with the same file.
import fs, { rmSync, statSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import t from 'tap';
import { tempFolder } from '../support/tmp.ts';
import { PAGE, prepare, refused } from './images.ts';

t.test('an image that another server creates after the look is used, not created again', async (t) => {
  const path = join(tempFolder(t), 'image');
  const { existsSync } = fs;
  const restore = (): void => {
    fs.existsSync = existsSync;
    syncBuiltinESMExports();
  };
  t.teardown(restore);
  fs.existsSync = (...args) => {
    const found = existsSync(...args);
    restore();
    writeFileSync(path, '');
    return found;
  };
  syncBuiltinESMExports();
  const image = prepare(t, { path, bytes: 16 * PAGE, direct: 'auto' });
  t.match(image, { created: false, bytes: 16 * PAGE });
  t.equal(statSync(path).size, 16 * PAGE);
});

t.test('an image that its maker takes back before it is held is not served without a name', async (t) => {
  const path = join(tempFolder(t), 'image');
  writeFileSync(path, '');
  const { writeSync } = fs;
  const restore = (): void => {
    fs.writeSync = writeSync;
    syncBuiltinESMExports();
  };
  t.teardown(restore);
  // The last that is asked of it before its lock.
  fs.writeSync = ((fd: number) => {
    restore();
    rmSync(path);
    return writeSync(fd, new Uint8Array(0));
  }) as typeof writeSync;
  syncBuiltinESMExports();
  const error = refused(() => prepare(t, { path, bytes: 16 * PAGE, direct: 'auto' }));
  t.match(error, { kind: 'replaced', message: `${path}: was replaced while it was opened` });
});
