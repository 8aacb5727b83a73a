// nbdcopy moves a disk in and out over four connections, and cmp judges: nbdcopy has missed read errors before.
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { missing } from '../../support/requires.ts';
import { tempFolder } from '../../support/tmp.ts';
import { startServer } from '../../support/zswapd.ts';
import { succeed, writeMixedFile } from './tools.ts';

const skip = missing('nbdcopy', 'cmp');
const MIB = 1 << 20;
/** A plain run copies half as much, and of the large one a third. */
const LONG = process.env.ZSWAPD_LONG === '1';
const DISK = (LONG ? 64 : 32) * MIB;

async function thereAndBack(t: Test, bytes: number, set: readonly string[]): Promise<void> {
  const folder = tempFolder(t);
  const [source, back] = [join(folder, 'source'), join(folder, 'back')];
  writeMixedFile(source, bytes);
  const server = await startServer(t, { size: `${bytes / MIB}MiB`, set });
  await succeed(t, 'nbdcopy', ['--connections=4', '--requests=32', source, server.unixUri]);
  await succeed(t, 'nbdcopy', ['--connections=4', '--requests=32', server.unixUri, back]);
  await succeed(t, 'cmp', [source, back]);
  const { pool } = await server.stats();
  t.equal(pool.errors, 0);
  t.match(await server.stop(), { code: 0 });
  await succeed(t, 'cmp', [source, server.image], {});
}

t.test('into a pool that holds it all', { skip }, (t) =>
  thereAndBack(t, DISK, ['pool.max=128MiB', 'pool.incompressible=store']),
);
t.test('into a pool far smaller than the data', { skip }, (t) =>
  thereAndBack(t, (LONG ? 256 : 80) * MIB, ['pool.max=4MiB']),
);
t.test('inline, on one thread', { skip }, (t) => thereAndBack(t, DISK, ['pool.max=4MiB', 'lanes=0']));

t.test('from one export of a server to another', { skip }, async (t) => {
  const folder = tempFolder(t);
  const source = join(folder, 'source');
  writeMixedFile(source, 32 * MIB);
  const exports = ['a', 'b'].map((name) => ({ name, size: '32MiB', image: join(folder, name) }));
  const server = await startServer(t, { folder, exports, set: ['pool.max=4MiB'] });
  const [a, b] = server.uris;
  await succeed(t, 'nbdcopy', ['--connections=4', source, a]);
  await succeed(t, 'nbdcopy', ['--connections=4', a, b]);
  t.match(await server.stop(), { code: 0 });
  await succeed(t, 'cmp', [join(folder, 'a'), join(folder, 'b')]);
  await succeed(t, 'cmp', [source, join(folder, 'b')]);
});
