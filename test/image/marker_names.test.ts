// A file whose name is that of a marker is no image: the server of another image would take it for one, and remove it.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { prepareImage } from '#src/image/prepare.js';
import { run } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';
import { MAIN } from '../support/zswapd.ts';
import { PAGE, refused } from './images.ts';

for (const end of ['.zswapd', '.zswapd.tmp']) {
  t.test(`image${end}`, async (t) => {
    const path = join(tempFolder(t), `image${end}`);
    const expected = { kind: 'type', message: `${path}: its name ends as that of a marker does (${end}), allowed: ` };
    t.match(
      refused(() => prepareImage({ path, bytes: PAGE, direct: 'auto' })),
      expected,
    );
    t.notOk(existsSync(path));
    writeFileSync(path, '');
    t.match(await run(MAIN, ['image', 'reset', path]), { code: 2, stderr: expected.message });
    t.ok(existsSync(path));
  });
}
