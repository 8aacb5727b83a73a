// Memcgs of a config are paths of cgroups: what is none is refused where it stands, and what is above others comes with them.
import t from 'tap';
import { loadConfigText } from '#src/config/load.js';
import { MEMCGS_MAX } from '#src/pool/limits.js';
import { DEPTH_MAX, onlineRows, pathOf } from '#src/pool/memcg.js';
import { reserveShared } from '#src/server/settings.js';

const load = (memcgs: object, memcg?: string, name = 'a') => {
  const one = { name, size: '1MiB', image: 'a.img', ...(memcg === undefined ? {} : { memcg }) };
  return loadConfigText('c', JSON.stringify({ exports: [one], memcgs })).config;
};

t.test('the memcgs of a config, and those above them', async (t) => {
  const { memcgs, settings } = reserveShared(
    load({ '/guests.slice/b/c': { 'zswap.max': '1MiB' }, '/': { 'zswap.writeback': false } }, 'guests.slice/a'),
  );
  t.strictSame(
    onlineRows(memcgs).map((m) => [pathOf(memcgs, m), memcgs.max[m], memcgs.keeps[m]]),
    [
      ['/', Number.POSITIVE_INFINITY, 1],
      ['guests.slice', Number.POSITIVE_INFINITY, 0],
      ['guests.slice/a', Number.POSITIVE_INFINITY, 0],
      ['guests.slice/b', Number.POSITIVE_INFINITY, 0],
      ['guests.slice/b/c', 2 ** 20, 0],
    ],
  );
  t.equal(pathOf(memcgs, memcgs.ofExport[0]), 'guests.slice/a');
  t.equal(settings.exports[0].memcg, 0);
});

t.test('an export in the root', async (t) => {
  for (const root of ['', '/']) {
    const { memcgs } = reserveShared(load({}, root));
    t.equal(memcgs.ofExport[0], 0);
  }
});

const refused: [string, object, string | undefined, string | undefined, RegExp][] = [
  [
    '..',
    { 'a/../b': {} },
    undefined,
    undefined,
    /memcgs\["a\/\.\.\/b"\]: "a\/\.\.\/b": \.\. is no name, allowed: a path of cgroups/,
  ],
  ['an empty name', {}, 'a//b', undefined, /exports\[0\]\.memcg: "a\/\/b": a name is empty/],
  [
    'an export whose name is no path',
    {},
    undefined,
    '..',
    /exports\[0\]\.name: is the memcg too, as none is given; "\.\.": \.\. is no name/,
  ],
  ['a long name', { ['x'.repeat(256)]: {} }, undefined, undefined, /a name has 256 bytes, allowed: at most 255/],
  ['a deep path', { ['a/'.repeat(64).concat('a')]: {} }, undefined, undefined, /65 levels, allowed: at most 64/],
  ['a memcg twice', { a: {}, '/a': {} }, undefined, undefined, /memcgs\["\/a"\]: is the memcg of "a" too/],
  ['a limit of the root', { '': { 'zswap.max': 0 } }, undefined, undefined, /the root has no limit, allowed: "max"/],
  [
    'half of a character',
    { 'a\ud800': {} },
    undefined,
    undefined,
    /memcgs\[.*\]: .* is not a valid string, allowed: .* UTF-8/,
  ],
  [
    'half of a character of an export',
    {},
    undefined,
    'a\udfff',
    /exports\[0\]\.name: .* is not a valid string, allowed: .* UTF-8/,
  ],
  [
    'the name of a file',
    { 'a/memory.stat': {} },
    undefined,
    undefined,
    /memory\.stat is a file of every memcg, allowed: a path/,
  ],
  ['the name of a file, as an export is called', {}, undefined, 'cgroup.stat', /cgroup\.stat is a file of every memcg/],
  ['a limit below zero', { a: { 'zswap.max': -1 } }, undefined, undefined, /zswap\.max"\]: -1 is not a valid size/],
];

t.test("below the memcg of an agent there is room for what is nobody's", async (t) => {
  const deep = (levels: number): string => Array.from({ length: levels }, () => 'a').join('/');
  const refusal = (levels: number, attribution: string): string => {
    const token = attribution === 'agent' ? { agentToken: 't' } : {};
    const one = { name: 's', image: 's.img', size: '1MiB', memcg: deep(levels), attribution, ...token };
    const agents = attribution === 'agent' ? { agents: { unix: 'a.sock' } } : {};
    try {
      loadConfigText('c.jsonc', JSON.stringify({ exports: [one], ...agents }));
    } catch (error) {
      return String(error);
    }
    return '';
  };
  t.equal(refusal(64, 'export'), '');
  t.equal(refusal(63, 'agent'), '');
  t.match(refusal(64, 'agent'), /65 levels, allowed: at most 64/);
});

for (const [what, memcgs, memcg, name, message] of refused) {
  t.test(`${what} is refused`, async (t) => {
    t.throws(() => load(memcgs, memcg, name), { message });
  });
}

t.test('one memcg too many is named, and not taken for a lack of address space', async (t) => {
  // A file has fewer values than there are rows, but each path brings along what is above it.
  const deep = (count: number): object =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`${i}/${'a/'.repeat(DEPTH_MAX - 2)}a`, {}]));
  const most = (MEMCGS_MAX - DEPTH_MAX) / DEPTH_MAX;
  // The root has a row, and so has the export.
  t.throws(() => load(deep(most + 1)), { message: /memcgs: 65537 memcgs.*, allowed: at most 65535/ });
  t.equal(onlineRows(reserveShared(load(deep(most))).memcgs).length, most * DEPTH_MAX + 2);
});
