// Sizes, percentages and durations.

import t from 'tap';
import { size } from '#src/config/fields.js';
import { loadConfigText } from '#src/config/load.js';
import { usableMemory } from '#src/config/memory.js';
import { poolMaxNote } from '#src/config/pool_options.js';
import { formatDuration, formatSize, parseDuration, parsePercent, parseSize } from '#src/config/units.js';

t.test('sizes are bytes, or a number with a binary unit', async (t) => {
  t.equal(parseSize(4096), 4096);
  t.equal(parseSize('4096'), 4096);
  t.equal(parseSize('512MiB'), 512 * 2 ** 20);
  t.equal(parseSize('1.5 GiB'), 1.5 * 2 ** 30);
  t.equal(parseSize('8t'), 8 * 2 ** 40);
  for (const bad of ['', 'MiB', '1MB', '1XiB', '-1', '1e3', '0.3KiB', '9000000T', -1, 1.5, null, true]) {
    t.equal(parseSize(bad), undefined, JSON.stringify(bad));
  }
});

t.test('percentages are above 0 and at most 100', async (t) => {
  t.equal(parsePercent('20%'), 20);
  t.equal(parsePercent('0.5%'), 0.5);
  for (const bad of ['0%', '101%', '%', '20', 20, '-1%']) t.equal(parsePercent(bad), undefined, String(bad));
});

t.test('durations carry their unit', async (t) => {
  t.equal(parseDuration('500ms'), 500);
  t.equal(parseDuration('10s'), 10_000);
  t.equal(parseDuration('1.5 m'), 90_000);
  for (const bad of ['10', 10, 's', '1d', '-1s', '0.5ms']) t.equal(parseDuration(bad), undefined, String(bad));
});

t.test('values are formatted back to the shortest exact notation', async (t) => {
  t.equal(formatSize(2 ** 29), '512MiB');
  t.equal(formatSize(4097), '4097');
  t.equal(formatSize(0), '0');
  t.equal(formatDuration(90_000), '90s');
  t.equal(formatDuration(1500), '1500ms');
  t.equal(formatDuration(600_000), '10m');
});

t.test('a share of the memory is whole pages of it', async (t) => {
  const { max } = loadConfigText('c', '{ "pool": { "max": "50%" } }').config.pool;
  t.equal(max % 4096, 0);
  t.ok(max <= usableMemory() / 2 && max > usableMemory() / 2 - 4096);
});

t.test('a share of the memory is within the bounds of the option, however much memory there is', async (t) => {
  const share = (memory: number) => size({ min: 2 ** 20, max: 2 ** 37, percentOf: () => memory }, 'a pool');
  t.equal(share(2 ** 36).parse('25%'), 2 ** 34);
  t.equal(share(5 * 2 ** 37).parse('20%'), 2 ** 37);
  t.equal(share(5 * 2 ** 37 + 2 ** 20).parse('20%'), 2 ** 37);
  t.equal(share(2 ** 50).parse('100%'), 2 ** 37);
  t.equal(share(2 ** 20).parse('1%'), 2 ** 20);
});

t.test('a pool.max that comes to more than a pool can be is said', async (t) => {
  t.equal(poolMaxNote('20%', 2 ** 39), null);
  t.equal(poolMaxNote('20%', 5 * 2 ** 37), null);
  t.equal(
    poolMaxNote('20%', 2 ** 40),
    'pool.max: 20% of 1TiB is more than a pool can have, which is 128GiB: that is taken',
  );
  t.equal(poolMaxNote('128GiB', 2 ** 40), null);
  t.equal(poolMaxNote(2 ** 37, 2 ** 40), null);
  t.same(loadConfigText('c', '{ "pool": { "max": "64MiB" } }').notes, []);
});
