// Whatever is wrong with a config file is one line: where, what is wrong, what is allowed.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ConfigError, loadConfig, loadConfigText } from '#src/config/load.js';
import { ExitError } from '#src/os/exit_error.js';
import { tempFolder } from '../support/tmp.ts';

function problems(text: string): readonly string[] {
  try {
    loadConfigText('c.jsonc', text);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    if (error instanceof ExitError) return [error.message];
    throw error;
  }
}

const cases: [name: string, text: string, expected: string | RegExp][] = [
  ['syntax', '{\n  "lanes": 1\n  "pool": {}\n}', 'c.jsonc:3:3: a comma is missing, allowed: JSON with comments'],
  ['not an object', ' []', 'c.jsonc:1:2: the config is not an object, allowed: { "option": value }'],
  ['empty file', '', /^c\.jsonc:1:1: /],
  [
    'unknown top key',
    '{\n  // note\n  "poool": {}\n}',
    /^c\.jsonc:3:3: poool: unknown key, allowed: listen, exports, pool, /,
  ],
  [
    'unknown key deeper',
    '{ "compressor": { "levle": 2 } }',
    'c.jsonc:1:19: compressor.levle: unknown key, allowed: level',
  ],
  [
    'a promise that the pool does not keep',
    '{ "exports": [{ "name": "a", "size": 4096, "image": "a", "writeThrough": "on" }] }',
    'c.jsonc:1:74: exports[0].writeThrough: "on" promises what durability: "volatile" does not keep, allowed: with durability: "strict"',
  ],
  [
    'restarts without end',
    '{ "supervise": { "restarts": 1001 } }',
    'c.jsonc:1:30: supervise.restarts: 1001 is not valid, allowed: an integer from 0 to 1000',
  ],
  ['duplicate key', '{ "lanes": 1,\n"lanes": 2 }', 'c.jsonc:2:1: duplicate key "lanes", allowed: each key once'],
  ['__proto__', '{ "__proto__": {} }', 'c.jsonc:1:3: unknown key "__proto__"'],
  [
    'number out of bounds',
    '{ "compressor":\n { "level": 20 } }',
    'c.jsonc:2:13: compressor.level: 20 is not valid, allowed: an integer from -7 to 19',
  ],
  [
    'not an integer',
    '{ "compressor": { "level": 1.5 } }',
    'c.jsonc:1:28: compressor.level: 1.5 is not valid, allowed: an integer from -7 to 19',
  ],
  [
    'bad size',
    '{ "pool": { "max": "12 parsecs" } }',
    'c.jsonc:1:20: pool.max: "12 parsecs" is not a valid size, allowed: bytes or a size such as "512MiB", from 1MiB to 128GiB, or "1%" to "100%"',
  ],
  [
    'size of an export that is no multiple of a page',
    '{ "exports": [{ "name": "a", "image": "a", "size": 5000 }] }',
    /^c\.jsonc:1:52: exports\[0\]\.size: 5000 is not a valid size, .* multiple of 4096$/,
  ],
  [
    'missing key',
    '{ "exports": [\n  { "name": "a", "size": 4096 } ] }',
    'c.jsonc:2:3: exports[0].image: is missing, allowed: a path',
  ],
  ['empty list', '{ "exports": [] }', /^c\.jsonc:1:14: exports: is empty, /],
  [
    'time without a unit',
    '{ "listen": { "handshakeTimeout": 10 } }',
    /^c\.jsonc:1:35: listen\.handshakeTimeout: 10 is not a valid time, /,
  ],
  [
    'group that is no object',
    '{ "pool": 5 }',
    /^c\.jsonc:1:11: pool: 5 is not an object, allowed: an object with the keys max, /,
  ],
  ['null where it means nothing', '{ "pool": null }', /^c\.jsonc:1:11: pool: null is not an object/],
  [
    'name that nobody knows',
    '{ "protocol": { "entry": "x" } }',
    'c.jsonc:1:26: protocol.entry: "x" is not one of the names, allowed: "refcount-2013", "cas-2013", "refcount-lru-isolate", "pin-validate"',
  ],
  ['fault plan', '{ "faults": {} }', 'c.jsonc:1:13: faults: {} is not a path, allowed: a path, or null for none'],
  [
    'control character in a name',
    '{ "exports": [{ "name": "a\\u001b", "image": "a", "size": 4096 }] }',
    /^c\.jsonc:1:25: exports\[0\]\.name: /,
  ],
  [
    'port out of range',
    '{ "listen": { "tcp": "127.0.0.1:70000" } }',
    /^c\.jsonc:1:22: listen\.tcp: "127\.0\.0\.1:70000" is not an address, /,
  ],
  [
    'remote address',
    '{ "listen": { "tcp": "0.0.0.0:10809" } }',
    /^c\.jsonc:1:22: listen\.tcp: 0\.0\.0\.0 is not a loopback address, .*listen\.allowRemote: true$/,
  ],
  ['host name that is not localhost', '{ "listen": { "tcp": "example:1" } }', /is not a loopback address/],
  [
    'delay without unsafe',
    '{ "debug": { "delay": { "W1": 5 } } }',
    'c.jsonc:1:23: debug.delay: delays slow every request down, allowed: only with unsafe: true',
  ],
  [
    'delay at a step that there is not',
    '{ "debug": { "delay": { "W11": 5 } }, "unsafe": true }',
    /^c\.jsonc:1:25: debug\.delay\.W11: unknown key, allowed: "W1", .*, "ST: insert", .*"SO: free tree"$/,
  ],
  [
    'delay that is no object',
    '{ "debug": { "delay": 5 } }',
    /^c\.jsonc:1:23: debug\.delay: 5 is not an object, allowed: /,
  ],
  [
    'memcg key',
    '{ "memcgs": { "a b": { "zswap.mx": 1 } } }',
    'c.jsonc:1:24: memcgs["a b"]["zswap.mx"]: unknown key, allowed: zswap.max, zswap.writeback',
  ],
  [
    'same socket twice',
    '{ "listen": { "unix": "s" }, "control": { "listen": "./s" } }',
    'c.jsonc:1:53: control.listen: is the socket of listen.unix, allowed: another path',
  ],
  [
    'long socket path',
    `{ "listen": { "unix": "/${'x'.repeat(107)}" } }`,
    /^c\.jsonc:1:23: listen\.unix: .* has 108 bytes, allowed: at most 107 /,
  ],
];

for (const [name, text, expected] of cases) {
  t.test(`a mistake is reported with its place: ${name}`, async (t) => {
    const [first, ...others] = problems(text);
    if (typeof expected === 'string') t.equal(first, expected);
    else t.match(first, expected);
    t.same(others, []);
  });
}

for (const [place, text] of [
  ['exports[1].image', '{ "exports": [IMAGE, { "name": "b", "size": 4096, "image": "/d/x.zswapd" }] }'],
  ['exports[1].image', '{ "exports": [IMAGE, { "name": "b", "size": 4096, "image": "/d/x.zswapd.tmp" }] }'],
  ['control.listen', '{ "exports": [IMAGE], "control": { "listen": "/d/x.zswapd" } }'],
  ['listen.unix', '{ "exports": [IMAGE], "listen": { "unix": "/d/x.zswapd" } }'],
] as const) {
  t.test(`the place of a marker is nothing else's: ${place}`, (t) => {
    const found = problems(text.replace('IMAGE', '{ "name": "a", "size": 4096, "image": "/d/x" }'));
    t.equal(found.length, 1, found.join('\n'));
    t.match(found[0], `: ${place}: `);
    t.match(found[0], / is where exports\[0\] has the marker of its image, allowed: another path$/);
    t.end();
  });
}

t.test('no path may end as a marker does, whichever image it would be of', async (t) => {
  for (const end of ['.zswapd', '.zswapd.tmp']) {
    const [first, ...others] = problems(`{ "listen": { "unix": "/d/f.part-0-4096${end}" } }`);
    t.match(
      first,
      `listen.unix: /d/f.part-0-4096${end} ends as the marker of an image does (${end}), allowed: another path`,
    );
    t.same(others, []);
  }
});

t.test('two exports with one name or one image are refused', async (t) => {
  const text =
    '{ "exports": [\n{ "name": "a", "image": "x", "size": 4096 },\n{ "name": "a", "image": "./x", "size": 4096 } ] }';
  t.same(
    problems(text).map((line) => line.replace(/ \/\S*\/x/, ' X')),
    [
      'c.jsonc:3:11: exports[1].name: "a" is the name of exports[0] too, allowed: each name once',
      'c.jsonc:3:25: exports[1].image: X is the image of exports[0] too, allowed: one export per image',
    ],
  );
});

t.test('all mistakes of a file are collected', async (t) => {
  t.equal(problems('{ "lanes": 99, "unsafe": 1, "x": 0 }').length, 3);
});

t.test('a missing config file is one line with exit code 2', async (t) => {
  t.throws(() => loadConfig({ file: '/does/not/exist.jsonc' }), {
    exitCode: 2,
    message: /^\/does\/not\/exist\.jsonc: can't read/,
  });
});

t.test('what the format allows is accepted', async (t) => {
  t.same(problems('{ /* a comment */ "lanes": 0, }'), []);
  t.same(problems('{ "listen": { "tcp": "[::1]:0" } }'), []);
  t.same(problems('{ "listen": { "tcp": "127.9.9.9:0" } }'), []);
  t.same(problems('{ "listen": { "tcp": "[::]:10809", "allowRemote": true } }'), []);
});

t.test('a config of no sensible size is refused before anything walks it', async (t) => {
  const deep = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`;
  t.same(problems(`{ "pool":\n${deep(400_000)} }`), ['c.jsonc:2:32: is nested too deeply, allowed: 32 levels']);
  t.match(problems(`{ "pool": ${deep(31)} }`), [/^c\.jsonc:1:11: pool: /], 'as deep as it may be');
  const many = (values: number): string => Array.from({ length: values }, () => '{}').join();
  t.match(problems(`{ "exports": [${many(200_000)}] }`), [/^c\.jsonc:1:\d+: has too many values, allowed: 20000$/]);
  const keys = Array.from({ length: 9000 }, (_, i) => `"k${i}": 1`).join(',\n');
  t.equal(problems(`{ ${keys} }`).length, 9000, 'a line for each of as many as there may be');
});

t.test('a flag of no sensible size is refused the same way', async (t) => {
  const refused = (value: string): string => {
    try {
      loadConfig({ set: [`exports=${value}`] });
    } catch (error) {
      if (error instanceof ExitError) return error.message;
      throw error;
    }
    return 'accepted';
  };
  t.equal(
    refused(`${'['.repeat(60_000)}${']'.repeat(60_000)}`),
    '--set exports: character 33: is nested too deeply, allowed: 32 levels',
  );
  t.equal(
    refused(`[${'{},'.repeat(40_000)}{}]`),
    '--set exports: character 60001: has too many values, allowed: 20000',
  );
  const path = `pool.max${'.a'.repeat(60_000)}=1`;
  t.throws(() => loadConfig({ set: [path] }), /: not a path of an option, allowed: /);
});

t.test('what is not UTF-8 is no config: its bytes would become others, and a path that of another file', async (t) => {
  const path = join(tempFolder(t), 'c.jsonc');
  writeFileSync(path, Buffer.from('{\n  "lanes": 1, // m\xfcll\n}', 'latin1'));
  t.throws(() => loadConfig({ file: path }), {
    message: `${path}: can't read the config: not UTF-8 (line 2), allowed: UTF-8`,
  });
});
