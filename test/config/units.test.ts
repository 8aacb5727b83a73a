// Sizes, percentages and durations.

import t from 'tap';
import { loadConfigText } from '#src/config/load.js';
import { usableMemory } from '#src/config/memory.js';
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
