import t from 'tap';
import { formatLimit, NO_LIMIT, parseBool, parseInteger, parseLimit, parseReclaim } from '#src/control/fs/notations.js';

const invalid = { message: /^EINVAL: .* is not valid, allowed: / };

t.test('limits have the suffixes of the kernel, and are rounded down to a page', async (t) => {
  const limits: [string, number][] = [
    ['0', 0],
    ['4095', 0],
    ['4096', 4096],
    ['8191', 4096],
    ['1K', 0],
    ['8k', 8192],
    ['10M', 10 * 2 ** 20],
    ['1g', 2 ** 30],
    ['2T', 2 ** 41],
    ['1P', 2 ** 50],
    ['0x2000', 8192],
    ['0x2K', 0],
    ['0x8K', 8192],
    ['010000', 4096],
    [' 4096\n', 4096],
  ];
  for (const [text, bytes] of limits) t.equal(parseLimit(text), bytes, text);
});

t.test('what is more than anything can have is no limit', async (t) => {
  for (const text of ['max', ' max\n', '8P', '1E', '18446744073709551616', `${'9'.repeat(4000)}`]) {
    t.equal(parseLimit(text), NO_LIMIT, text.slice(0, 30));
  }
  t.equal(formatLimit(NO_LIMIT), 'max');
  t.equal(formatLimit(8192), '8192');
});

t.test('memory.reclaim has bytes and keys, of which the last age counts', async (t) => {
  const ages: [string, number | null][] = [
    ['8K', null],
    ['8K swappiness=max source=zswap', null],
    ['8K age=30', 30],
    ['8K age=30s', 30],
    ['8K source=zswap age=5m', 300],
    ['8K age=2h age=1d', 86_400],
    ['8K age=0x1d', 29],
    ['8K age=010s', 8],
    [`8K age=${'9'.repeat(400)}d`, NO_LIMIT],
  ];
  for (const [text, ageSeconds] of ages) t.strictSame(parseReclaim(text), { bytes: 8192, ageSeconds }, text);
  for (const text of [
    '8K age',
    '8K age=',
    '8K age=s',
    '8K age=-1',
    '8K age=1.5s',
    '8K age=1w',
    '8K age=30 s',
    'age=30',
  ])
    t.throws(() => parseReclaim(text), invalid, text);
});

t.test('what is no limit', async (t) => {
  const texts = [
    '',
    ' ',
    'K',
    '-1',
    '-10M',
    '+-1',
    '1.5M',
    '10 M',
    '10MB',
    '10MiB',
    'MAX',
    'maximum',
    '0x',
    '08',
    '1e3',
    '10Z',
  ];
  for (const text of [...texts, '٣', '1\n2', 'Infinity', 'NaN', 'x'.repeat(4096)]) {
    t.throws(() => parseLimit(text), invalid, JSON.stringify(text.slice(0, 30)));
  }
});

t.test('booleans in every way of the kernel, as whole words', async (t) => {
  for (const text of ['Y', 'y', '1', 'on', 'ON', 'true', 'yes', 't', 'Y\n']) t.equal(parseBool(text), true, text);
  for (const text of ['N', 'n', '0', 'off', 'Off', 'false', 'no', 'f\n']) t.equal(parseBool(text), false, text);
  for (const text of ['', '2', '-1', 'o', 'maybe', 'YY', '10']) t.throws(() => parseBool(text), invalid, text);
});

t.test('integers within their bounds', async (t) => {
  for (const text of ['20', '+20', '0x14', '024', ' 20\n']) t.equal(parseInteger(text, 0, 100), 20, text);
  for (const text of ['', '101', '-1', '-0x1', '20%', '2e1', '1.0', '++1', '4294967317']) {
    t.throws(() => parseInteger(text, 0, 100), invalid, text);
  }
});
