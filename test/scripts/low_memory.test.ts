// How a guest with little memory ended, told from what its console says; the guests themselves are ./scripts/vm --low-memory.
import t from 'tap';
import { CELLS } from '#src/scripts/guest/lowmem/cells.js';
import { type Ending, Watch } from '#src/scripts/guest/lowmem/ending.js';
import { tableOf } from '#src/scripts/guest/lowmem/table.js';
import { parseOptions } from '#src/scripts/guest/options.js';

const LOAD = ['VM START up=4', 'VM LOAD available=26 hog_mib=18 min_free=809'];
const SWAPPED = 'VM PROGRESS pswpout=1000 pswpin=500 up=9';
const GOOD = ['HOG 0 OK pages=4608', 'HOG 1 OK pages=4608', 'VM RESULT ok hogs=2 pswpout=2000 pswpin=900 up=17'];
const OOM = '[   20.1] Out of memory: Killed process 77 (hog) total-vm:20000kB';

function ending(ended: 'off' | 'stalled' | 'late', ...lines: readonly string[]): Ending {
  const watch = new Watch();
  for (const line of lines) watch.take(line);
  return watch.ending(2, ended);
}

t.test('verified is all hogs, after swapping', async (t) => {
  t.equal(ending('off', ...LOAD, SWAPPED, ...GOOD).kind, 'verified');
  t.equal(ending('off', ...LOAD, SWAPPED, ...GOOD.slice(1)).kind, 'failed');
  t.equal(ending('off', ...LOAD, ...GOOD.slice(0, 2), 'VM RESULT ok hogs=2 pswpout=0 pswpin=0 up=17').kind, 'failed');
});

t.test('a guest in which nothing moves is deadlocked, one that still swaps is unfinished', async (t) => {
  t.equal(ending('stalled', ...LOAD, SWAPPED).kind, 'deadlocked');
  t.equal(ending('late', ...LOAD, SWAPPED).kind, 'unfinished');
});

t.test('progress lines without progress are a standstill', async (t) => {
  const watch = new Watch();
  for (const line of [...LOAD, SWAPPED]) watch.take(line);
  watch.movedAt = 0;
  watch.take(SWAPPED);
  t.equal(watch.movedAt, 0);
  watch.take('VM PROGRESS pswpout=1000 pswpin=501 up=11');
  t.not(watch.movedAt, 0);
});

t.test('wrong bytes outweigh a kill, and a kill what it leads to', async (t) => {
  const bad = 'HOG 0 BAD pages=4608 differing=3 stale=0 garbage=3';
  t.equal(ending('off', ...LOAD, OOM, bad, 'VM RESULT bad reason=hogs hogs=1').kind, 'failed');
  t.same(ending('off', ...LOAD, OOM, 'VM RESULT bad reason=hogs hogs=1'), { kind: 'killed', why: 'hog' });
  t.match(ending('stalled', ...LOAD, OOM), { kind: 'killed', why: /^hog, then nothing/ });
});

t.test('a page that can not be read is lost, and a guest without swap has not booted', async (t) => {
  t.equal(
    ending('off', ...LOAD, 'Read-error on swap-device (43:0:8)', 'VM RESULT bad reason=hogs hogs=1').kind,
    'lost',
  );
  t.equal(ending('off', 'Kernel panic - not syncing: System is deadlocked on memory').kind, 'unbooted');
});

t.test('the table has a row for each cell, with what starts it again', async (t) => {
  const rows = CELLS.map((cell) => ({
    ...{ cell, ending: { kind: 'verified', why: '' } as const, started: LOAD[1] },
    ...{ swappedOut: 0, swappedIn: 0, seconds: 1 },
  }));
  const lines = tableOf(rows).trimEnd().split('\n');
  t.equal(lines.length, CELLS.length + 2);
  t.match(lines[2], /2 × 18 of 26 MiB free/);
  for (const { name } of CELLS) t.same(parseOptions(['--low-memory', '--cell', name])?.cells, [name]);
  t.throws(() => parseOptions(['--low-memory', '--cell', 'none']), /allowed are/);
  t.throws(() => parseOptions(['--cell', 'blk-96']), /--cell is a part of --low-memory/);
});
