// libnbd's nbdinfo sees what the config says: exports, sizes, what is offered, and which ranges hold data.
import { join } from 'node:path';
import t from 'tap';
import { startServer } from '../../support/one_thread.ts';
import { missing } from '../../support/requires.ts';
import { tempFolder } from '../../support/tmp.ts';
import { noise, succeed } from './tools.ts';

const skip = missing('nbdinfo');
const MIB = 1 << 20;

t.test('--json of one export', { skip }, async (t) => {
  const server = await startServer(t, {
    set: ['exports[0].description=swap of the first guest', 'durability=volatile'],
  });
  const { exports } = JSON.parse(await succeed(t, 'nbdinfo', ['--json', server.unixUri]));
  t.match(exports, [
    {
      'export-name': 'swap0',
      description: /swap of the first guest/,
      'export-size': 64 * MIB,
      is_read_only: false,
      can_cache: true,
      can_df: true,
      can_flush: false,
      can_fua: false,
      can_multi_conn: true,
      can_trim: true,
      can_zero: true,
      is_rotational: false,
      block_size_preferred: 4096,
      block_size_maximum: 32 * MIB,
      contexts: ['base:allocation'],
    },
  ]);
});

t.test('FLUSH and FUA are offered where they can be kept', { skip }, async (t) => {
  const server = await startServer(t, { set: ['durability=strict'] });
  const { exports } = JSON.parse(await succeed(t, 'nbdinfo', ['--json', server.unixUri]));
  t.match(exports, [{ can_flush: true, can_fua: true }]);
});

t.test('--list shows all exports', { skip }, async (t) => {
  const folder = tempFolder(t);
  const names = ['swap0', 'b', 'ümlaut and space'];
  const exports = names.map((name, n) => ({ name, size: `${n + 1}MiB`, image: join(folder, `image${n}`) }));
  const server = await startServer(t, { folder, exports });
  const root = `nbd+unix:///?socket=${server.socketPath}`;
  const list = JSON.parse(await succeed(t, 'nbdinfo', ['--list', '--json', root])).exports;
  t.same(
    list.map((one: Record<string, unknown>) => [one['export-name'], one['export-size']]),
    names.map((name, n) => [name, (n + 1) * MIB]),
  );
  for (const uri of server.uris) t.match(await succeed(t, 'nbdinfo', ['--size', uri]), /^[123]\d{6}$/m);
});

t.test('--map tells written from trimmed ranges', { skip }, async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  await client.write(MIB, noise(1, 2 * MIB));
  await client.write(8 * MIB, Buffer.alloc(MIB, 7));
  await client.trim(MIB + 512 * 1024, 512 * 1024);
  await client.writeZeroes(8 * MIB, 4096);
  await client.disconnect();
  const map = JSON.parse(await succeed(t, 'nbdinfo', ['--map', '--json', server.unixUri]));
  const merged: { offset: number; length: number; type: number }[] = [];
  for (const { offset, length, type } of map) {
    const last = merged.at(-1);
    if (last !== undefined && last.type === type) last.length += length;
    else merged.push({ offset, length, type });
  }
  t.same(merged, [
    { offset: 0, length: MIB, type: 3 },
    { offset: MIB, length: 512 * 1024, type: 0 },
    { offset: MIB + 512 * 1024, length: 512 * 1024, type: 3 },
    { offset: 2 * MIB, length: MIB, type: 0 },
    { offset: 3 * MIB, length: 5 * MIB + 4096, type: 3 },
    { offset: 8 * MIB + 4096, length: MIB - 4096, type: 0 },
    { offset: 9 * MIB, length: 55 * MIB, type: 3 },
  ]);
});
