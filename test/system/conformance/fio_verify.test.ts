/**
 * fio's nbd engine writes and verifies a checksum in every block, at depth 16 from four jobs.
 * Two of the protocol combinations that hold in a plain run, all of them with ZSWAPD_LONG=1.
 */
import t, { type Test } from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { safeCombinations, settingsOf } from '#src/scripts/support/safe_combinations.js';
import { missing } from '../../support/requires.ts';
import { tempFolder } from '../../support/tmp.ts';
import { startServer } from '../../support/zswapd.ts';
import { succeed, tool } from './tools.ts';

async function unavailable(): Promise<string | false> {
  const reason = missing('fio');
  if (reason !== false) return reason;
  const { stdout } = await tool({ teardown: () => undefined }, 'fio', ['--enghelp']);
  return /^\s*nbd$/m.test(stdout) ? false : 'this fio is built without the nbd engine';
}

const skip = await unavailable();
const long = process.env.ZSWAPD_LONG === '1';
t.setTimeout(long ? 600_000 : 110_000);

/** Each job has a quarter of the device, of which a plain run writes a sixth; blocks of several sizes, also smaller than a page, written in random order. */
async function verify(t: Test, set: readonly string[], ...extra: string[]) {
  const server = await startServer(t, { size: '96MiB', set });
  await succeed(
    t,
    'fio',
    [
      ...['--name=verify', '--ioengine=nbd', `--uri=${server.unixUri}`, '--rw=randwrite', '--verify=crc32c'],
      ...['--iodepth=16', '--numjobs=4', `--size=${long ? 24 : 4}M`, '--offset_increment=24M', '--verify_fatal=1'],
      ...['--do_verify=1', '--verify_state_save=0', '--randseed=7', '--refill_buffers', '--group_reporting', ...extra],
    ],
    { cwd: tempFolder(t) },
  );
  const { pool } = await server.stats();
  t.equal(pool.errors, 0);
  t.match(await fetchControl(server.controlPath, '/check'), { quiescent: true, ok: true, problems: [] });
  t.match(await server.stop(), { code: 0 });
  return pool;
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

/** Without serialize_overlap fio has the trim and the write of a block under way at once, and then either may come last. */
const TRIMS = ['--rw=randtrimwrite', '--serialize_overlap=1', '--loops=2'];
const SMALL = ['pool.max=1MiB', 'debug.oracle=true'];
for (const one of safeCombinations()) {
  const { entry, swapoff, busy, invalidate } = one;
  const plain = invalidate === 'empty-check' && (swapoff === 'pin-first' || swapoff === 'drain-early-ref');
  if (!long && !plain) continue;
  // A trim before each write, and everything twice: the second time, the trims meet what the first has left.
  t.test(`${entry}, ${swapoff}, ${busy}, ${invalidate}: trims and pages in a small pool`, { skip }, async (t) => {
    const pool = await verify(t, [...SMALL, ...settingsOf(one)], ...PAGES, ...TRIMS);
    t.ok(pool.written_back_pages > 0 && pool.invalidates > 0);
  });
}
