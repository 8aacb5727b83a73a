// --set: values, indexes, quoted names, relative paths, and errors that name the flag.
import { join, resolve } from 'node:path';
import t from 'tap';
import { NO_LIMIT, REPOSITORY } from '#src/config/fields.js';
import { ConfigError, loadConfigText } from '#src/config/load.js';
import { ExitError } from '#src/os/exit_error.js';

function set(flags: string[], text = '{}') {
  return loadConfigText('/etc/z/c.jsonc', text, { set: flags, cwd: '/home/me' }).config;
}

function problems(flags: string[], text = '{}'): readonly string[] {
  try {
    set(flags, text);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    if (error instanceof ExitError) return [error.message];
    throw error;
  }
}

t.test('a value is JSON, or else a string', async (t) => {
  t.equal(set(['lanes=0']).lanes, 0);
  t.equal(set(['pool.max=64MiB']).pool.max, 64 * 2 ** 20);
  t.equal(set(['listen.tcp=null']).listen.tcp, null);
  t.equal(set(['exports[0].name="7"']).exports[0].name, '7');
  t.equal(set(['exports[0].description=a=b']).exports[0].description, 'a=b');
});

t.test('the last flag for an option wins, and a flag wins over the file', async (t) => {
  t.equal(set(['lanes=3', 'lanes=4'], '{ "lanes": 2 }').lanes, 4);
});

t.test('an index changes an element, and one equal to the length appends', async (t) => {
  const { exports } = set([
    'exports[0].size=2GiB',
    'exports[1].name=b',
    'exports[1].size=4096',
    'exports[1].image=b.img',
  ]);
  t.same(
    exports.map(({ name, size, image, memcg }) => ({ name, size, image, memcg })),
    [
      { name: 'swap0', size: 2 ** 31, image: join(REPOSITORY, 'var/swap0.img'), memcg: 'swap0' },
      { name: 'b', size: 4096, image: '/home/me/b.img', memcg: 'b' },
    ],
  );
});

t.test('a whole list or object can be given, with its paths relative to the current directory', async (t) => {
  const [only, ...others] = set(['exports=[{"name":"x","size":"1MiB","image":"x.img"}]']).exports;
  t.match(only, { name: 'x', size: 2 ** 20, image: '/home/me/x.img' });
  t.same(others, []);
});

t.test('paths are relative to who wrote them', async (t) => {
  const text = '{ "listen": { "unix": "a.sock" }, "exports": [{ "name": "x", "size": 4096, "image": "../x.img" }] }';
  const config = set(['control.listen=run/c.sock'], text);
  t.equal(config.listen.unix, '/etc/z/a.sock');
  t.equal(config.exports[0].image, '/etc/x.img');
  t.equal(config.control.listen, '/home/me/run/c.sock');
  t.equal(set([]).control.listen, resolve(REPOSITORY, 'var/zswapd.sock'), 'and defaults to the repository');
});

t.test('names with dots', async (t) => {
  const flags = ['memcgs.a.zswap.max=1MiB', 'memcgs["b.c"]["zswap.writeback"]=false', 'memcgs["d=e"]={}'];
  const exports = ['a', 'b.c', 'd=e'].map((name) => ({ name, size: 4096, image: name }));
  t.same(set(flags, JSON.stringify({ exports })).memcgs, {
    a: { 'zswap.max': 2 ** 20, 'zswap.writeback': true },
    'b.c': { 'zswap.max': NO_LIMIT, 'zswap.writeback': false },
    'd=e': { 'zswap.max': NO_LIMIT, 'zswap.writeback': true },
  });
});

t.test('a mistake names the flag', async (t) => {
  const allowedMax = 'allowed: bytes or a size such as "512MiB", from 1MiB to 128GiB, or "1%" to "100%"';
  t.same(problems(['pool.max=abc'], '{ "pool": { "max": "1MiB" } }'), [
    `--set pool.max: "abc" is not a valid size, ${allowedMax}`,
  ]);
  t.match(problems(['pol.max=1'])[0], /^--set pol\.max: pol: unknown key, allowed: listen, /);
  t.match(problems(['pool={"mx":1}'])[0], /^--set pool: pool\.mx: unknown key, allowed: max, /);
  t.same(problems(['exports[1].name=b', 'exports[1].size=4096']), [
    '--set exports[1].name: exports[1].image: is missing, allowed: a path',
  ]);
});

t.test('a mistake of the file is not put on a flag beside it', async (t) => {
  const text = '{ "exports": [{ "name": "a", "image": "a" }] }';
  t.match(problems(['exports[0].memcg=m'], text)[0], /^\/etc\/z\/c\.jsonc:1:15: exports\[0\]\.size: is missing/);
});

t.test('a value that begins as JSON does is read as the text of a file, with its mistakes', async (t) => {
  for (const [flag, expected] of [
    ['pool={"max":"10%","max":"20%"}', '--set pool: character 14: duplicate key "max", allowed: each key once'],
    [
      'exports=[{"name":"a","size":4096,"image":"a","name":"b"}]',
      '--set exports: character 38: duplicate key "name", allowed: each key once',
    ],
    ['pool={"__proto__":{}}', '--set pool: character 2: unknown key "__proto__"'],
    ['exports=[{"name":"a"}', '--set exports: character 14: a closing bracket is missing, allowed: JSON with comments'],
    ['pool={max:1}', '--set pool: character 2: a word without quotes, allowed: JSON with comments'],
    ['log.level="info', '--set log.level: character 1: a string is not closed, allowed: JSON with comments'],
  ]) {
    t.same(problems([flag]), [expected], flag);
  }
  t.equal(set(['pool={ "max": "1MiB", /* small */ }']).pool.max, 2 ** 20, 'and with what a file may have besides');
  t.equal(set(['exports[0].description="[a]"']).exports[0].description, '[a]', 'a string in quotes may be anything');
});

t.test('of an option that is a string, a value that is no JSON is the string', async (t) => {
  t.same(set(['listen.tcp=[::1]:0']).listen.tcp, { host: '::1', port: 0 });
  t.same(set(['listen.tcp="[::1]:7"']).listen.tcp, { host: '::1', port: 7 });
  t.equal(set(['exports[0].description=[a] {b']).exports[0].description, '[a] {b');
  t.equal(set(['exports[0].image=[a]/x.img']).exports[0].image, '/home/me/[a]/x.img');
  t.match(problems(['listen.tcp=[::1]'])[0], /^--set listen\.tcp: "\[::1\]" is not an address, allowed: /);
  t.match(problems(['exports[0].description=[1]'])[0], /^--set exports\[0\]\.description: \[1\] is not a valid string/);
});

t.test('a name that is no memcg is blamed where it was given, as long as no memcg is', async (t) => {
  const said = 'is the memcg too, as none is given; "..": .. is no name, allowed: a path of cgroups';
  t.same(problems(['exports[0].name=..']), [`--set exports[0].name: ${said}`]);
  const text = '{ "exports": [{ "name": "..", "size": 4096, "image": "a" }] }';
  t.same(problems([], text), [`/etc/z/c.jsonc:1:25: exports[0].name: ${said}`]);
  t.same(problems(['exports[0].memcg=..'], text), [
    '--set exports[0].memcg: "..": .. is no name, allowed: a path of cgroups',
  ]);
  t.same(problems(['exports[0].memcg=m'], text), []);
});

t.test('a path that leads nowhere is refused', async (t) => {
  t.same(problems(['pool.max']), ['--set pool.max: "=" is missing, allowed: --set path=value']);
  t.match(problems(['=1'])[0], /^--set : not a path of an option/);
  t.match(problems(['a..b=1'])[0], /^--set a\.\.b: not a path of an option/);
  t.match(problems(['exports[x]=1'])[0], /not a path of an option/);
  t.match(problems(['__proto__.lanes=1'])[0], /not a path of an option/);
  t.same(problems(['exports[2].name=x']), [
    '--set exports[2].name: index 2 is beyond the end, allowed: 0 to 1 (1 appends)',
  ]);
  t.same(problems(['exports.name=x']), ['--set exports.name: exports is a list, allowed: exports[0] to exports[1]']);
  t.same(problems(['pool[0]=x'], '{ "pool": {} }'), [
    '--set pool[0]: pool is not a list, allowed: a key, as in pool.name',
  ]);
  t.same(problems(['lanes.x=1'], '{ "lanes": 2 }'), ['--set lanes.x: lanes is 2 and has no options inside']);
});

t.test('a mistake in what a flag gave whole is that flag, however far down the file reaches', async (t) => {
  const file =
    '{\n  "listen": { "unix": "/s", "tcp": null },\n  "exports": [{ "name": "x", "size": 4096, "image": "/x" }]\n}';
  for (const [flags, expected] of [
    [['exports=[{"name":"a","size":"1","image":"/tmp/x"}]'], /^--set exports: exports\[0\]\.size: /],
    [['exports[0]={"name":"a","size":"1","image":"/tmp/x"}'], /^--set exports\[0\]: exports\[0\]\.size: /],
    [['listen={"unix":7}'], /^--set listen: listen\.unix: /],
    [
      ['exports[0].size=1', 'exports=[{"name":"a","size":"2","image":"/tmp/x"}]'],
      /^--set exports: exports\[0\]\.size: /,
    ],
    [['exports=[{"name":"a","size":"8MiB","image":"/tmp/x"}]', 'exports[0].size=1'], /^--set exports\[0\]\.size: /],
    [['exports=[{"name":"a","image":"/tmp/x"}]'], /^--set exports: exports\[0\]\.size: /],
  ] as const) {
    t.match(problems([...flags], file)[0], expected);
  }
});

t.test('what only a start finds out is of the flag as well', async (t) => {
  const file = '{ "exports": [{ "name": "x", "size": 4096, "image": "/x" }] }';
  const flags = ['exports=[{"name":"a","size":"8MiB","image":"/tmp/x"}]'];
  const { locate } = loadConfigText('/etc/z/c.jsonc', file, { set: flags });
  t.equal(locate('exports[0].image: is stale'), '--set exports: exports[0].image: is stale');
  const inside = loadConfigText('/etc/z/c.jsonc', '{ "listen": { "unix": "/s" } }', { set: ['listen.unix=null'] });
  t.equal(inside.locate('listen: has none'), '--set listen.unix (over /etc/z/c.jsonc:1:13): listen: has none');
});
