// Ranges of slots with a memcg of their own: what a config may say, and what comes of it.
import t from 'tap';
import { loadConfigText } from '#src/config/load.js';
import { ownerOf } from '#src/pool/attribution.js';
import { pathOf } from '#src/pool/memcg.js';
import { reserveShared } from '#src/server/settings.js';

const load = (ranges: unknown, attribution?: string) => {
  const one = {
    name: 'a',
    size: '1MiB',
    image: 'a.img',
    ranges,
    ...(attribution === undefined ? {} : { attribution }),
  };
  return loadConfigText('c', JSON.stringify({ exports: [one] })).config;
};

t.test('ranges in any order; what is in none belongs to the export', async (t) => {
  const { memcgs } = reserveShared(
    load(
      [
        { offset: '512KiB', size: '256KiB', memcg: 'guest/b' },
        { offset: 4096, size: 8192, memcg: 'guest/a' },
      ],
      'ranges',
    ),
  );
  const owners = [0, 1, 2, 3, 127, 128, 191, 192].map((slot) => pathOf(memcgs, ownerOf(memcgs, 0, slot)));
  t.strictSame(owners, ['a', 'guest/a', 'guest/a', 'a', 'a', 'guest/b', 'guest/b', 'a']);
});

const a = { offset: 0, size: '64KiB', memcg: 'm' };
const refused: [string, unknown, string | undefined, RegExp][] = [
  ['none', [], 'ranges', /exports\[0\]\.ranges: is empty, allowed: at least one for attribution: "ranges"/],
  ['ranges of a whole export', [a], undefined, /exports\[0\]\.ranges: does nothing with attribution: "export"/],
  [
    'an overlap',
    [a, { offset: '60KiB', size: 4096, memcg: 'n' }],
    'ranges',
    /exports\[0\]\.ranges\[1\]: overlaps ranges\[0\], allowed: each slot once/,
  ],
  [
    'behind the end',
    [{ offset: '1020KiB', size: 8192, memcg: 'n' }],
    'ranges',
    /exports\[0\]\.ranges\[0\]: ends at 1028KiB, allowed: up to 1MiB/,
  ],
  ['half a page', [{ ...a, offset: 100 }], 'ranges', /exports\[0\]\.ranges\[0\]\.offset: .*multiple of 4096/],
  ['no bytes', [{ ...a, size: 0 }], 'ranges', /exports\[0\]\.ranges\[0\]\.size: /],
  ['no path', [{ ...a, memcg: '../x' }], 'ranges', /exports\[0\]\.ranges\[0\]\.memcg: .*allowed: a path of cgroups/],
  ['no memcg', [{ offset: 0, size: 4096 }], 'ranges', /exports\[0\]\.ranges\[0\]\.memcg/],
  ['no list', 7, 'ranges', /exports\[0\]\.ranges: is not a list, allowed: up to 4096 ranges/],
  ['a key of something else', [{ ...a, name: 'x' }], 'ranges', /exports\[0\]\.ranges\[0\]/],
];
for (const [name, ranges, attribution, message] of refused) {
  t.test(`refused: ${name}`, async (t) => t.throws(() => load(ranges, attribution), { message }));
}

t.test('ranges that touch each other, and the end of the device', async (t) => {
  t.equal(load([a, { offset: '64KiB', size: '960KiB', memcg: 'n' }], 'ranges').exports[0].ranges.length, 2);
});
