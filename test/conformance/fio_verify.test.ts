// fio's nbd engine writes and verifies a checksum in every block, at depth 16 from four jobs.
import t, { type Test } from 'tap';
import { missing } from '../support/requires.ts';
import { tempFolder } from '../support/tmp.ts';
import { startServer } from '../support/zswapd.ts';
import { succeed, tool } from './tools.ts';

async function unavailable(): Promise<string | false> {
  const reason = missing('fio');
  if (reason !== false) return reason;
  const { stdout } = await tool({ teardown: () => undefined }, 'fio', ['--enghelp']);
  return /^\s*nbd$/m.test(stdout) ? false : 'this fio is built without the nbd engine';
}

const skip = await unavailable();

/** Each job has a quarter of the device; blocks of several sizes, also smaller than a page, written in random order. */
async function verify(t: Test, set: readonly string[], ...extra: string[]): Promise<void> {
  const server = await startServer(t, { size: '96MiB', set });
  await succeed(
    t,
    'fio',
    [
      ...['--name=verify', '--ioengine=nbd', `--uri=${server.unixUri}`, '--rw=randwrite', '--verify=crc32c'],
      ...['--iodepth=16', '--numjobs=4', '--size=24M', '--offset_increment=24M', '--verify_fatal=1'],
      ...['--do_verify=1', '--verify_state_save=0', '--randseed=7', '--refill_buffers', '--group_reporting', ...extra],
    ],
    { cwd: tempFolder(t) },
  );
  const { pool } = await server.stats();
  t.equal(pool.errors, 0);
  t.match(await server.stop(), { code: 0 });
}

const PAGES = ['--bs=4k', '--buffer_compress_percentage=60'];
t.test('pages', { skip }, (t) => verify(t, ['pool.max=128MiB', 'pool.incompressible=store'], ...PAGES));
t.test('pages in a small pool', { skip }, (t) => verify(t, ['pool.max=4MiB'], ...PAGES));
t.test('pages in a small pool, strict, with flushes', { skip }, (t) =>
  verify(t, ['pool.max=1MiB', 'durability=strict'], ...PAGES, '--fsync=64', '--size=2M'),
);
t.test('blocks from 512 bytes to 256 KiB', { skip }, (t) =>
  verify(t, ['pool.max=4MiB'], '--bssplit=512/20:3584/10:4k/40:20k/20:256k/10', '--verify_interval=512'),
);
t.test('incompressible pages, inline', { skip }, (t) => verify(t, ['pool.max=4MiB', 'lanes=0'], '--bs=4k'));
