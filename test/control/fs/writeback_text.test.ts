// What may be written to /block/<export>/writeback, and what may not.
import t from 'tap';
import { parseWriteback } from '#src/control/fs/writeback_text.js';

const PAGES = 1000;
const pages = (...slots: [number, number][]) => ({ huge: false, idle: false, slots });

t.test('types, with and without their key', async (t) => {
  for (const [name, huge, idle] of [
    ['idle', false, true],
    ['huge', true, false],
    ['huge_idle', true, true],
    ['incompressible', true, false],
  ] as const) {
    for (const text of [name, `type=${name}`, ` ${name}\n`])
      t.strictSame(parseWriteback(text, PAGES), { huge, idle, slots: null }, text);
  }
});

t.test('pages, several of them', async (t) => {
  t.strictSame(parseWriteback('page_index=0', PAGES), pages([0, 1]));
  t.strictSame(parseWriteback('page_indexes=10-999\n', PAGES), pages([10, 1000]));
  t.strictSame(
    parseWriteback('page_index=42  page_index=010 page_indexes=7-7 page_indexes=500-700', PAGES),
    pages([7, 8], [10, 11], [42, 43], [500, 701]),
  );
  t.strictSame(
    parseWriteback(
      'page_indexes=50-60 page_index=5 page_indexes=55-58 page_index=61 page_indexes=63-70 page_index=5',
      PAGES,
    ),
    pages([5, 6], [50, 62], [63, 71]),
    'in order, and those that meet are one',
  );
});

t.test('what zram would not take is EINVAL, and what the export does not have ERANGE', async (t) => {
  const bad = ['', 'all', 'page', 'page_index=', 'page_index=-1', 'page_index=0x1', 'page_index=1.5', 'page_indexes=5'];
  bad.push('page_indexes=5-', 'page_indexes=-5', 'idle huge', 'type=', 'type=all', 'type=idle page_index=1');
  bad.push('page_index=1 idle', 'constructor', 'type=constructor', 'page_index 5', 'page_index=5,6');
  for (const text of bad) t.throws(() => parseWriteback(text, PAGES), /^EINVAL: .*allowed: /, JSON.stringify(text));
  for (const text of ['page_index=1000', 'page_indexes=5-4', 'page_indexes=0-1000', `page_index=${'9'.repeat(400)}`])
    t.throws(() => parseWriteback(text, PAGES), /^ERANGE: .*allowed: pages from 0 to 999/, text);
});
