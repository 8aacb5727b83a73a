// A disk that the image has filled: whoever was killed on it starts again, though there is no room for another marker.
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { mount, mountsMissing } from '../../image/images.ts';
import { failedStart, startServer } from '../../support/one_thread.ts';
import { tempFolder } from '../../support/tmp.ts';
import { MIB, writeSlots, wrongSlots } from './images.ts';

t.setTimeout(120_000);

for (const durability of ['strict', 'volatile'] as const) {
  t.test(`${durability}: killed on a full disk`, { skip: mountsMissing() }, async (t) => {
    const folder = mount(t, 'tmpfs', 'none', `size=${4 * MIB}`);
    const image = join(folder, 'image');
    const o = { image, size: '16MiB', env: { STATE_DIRECTORY: tempFolder(t) } };
    const set = [`durability=${durability}`];
    const server = await startServer(t, { ...o, set });
    const client = await server.connect();
    await writeSlots(client, 0, 64);
    if (durability === 'strict') await client.flush();
    t.throws(() => writeFileSync(join(folder, 'filler'), Buffer.alloc(4 * MIB)), { code: 'ENOSPC' });
    await server.kill9();
    if (durability === 'volatile') t.match(await failedStart(t, { ...o, set }), { code: 3, stderr: 'stale, because' });
    const exports = [{ name: 'swap0', size: '16MiB', image, onUnclean: 'serve' }];
    const again = await startServer(t, { ...o, exports, set });
    const reader = await again.connect();
    if (durability === 'strict') t.same(await wrongSlots(reader, 0, 64), []);
    await reader.disconnect();
    t.equal((await again.stop()).code, 0);
    t.notOk(existsSync(`${image}.zswapd`));
    t.same(readdirSync(folder).sort(), ['filler', 'image']);
  });
}
