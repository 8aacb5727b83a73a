// `zswapd explore` as a command: one line and exit 2 for each mistake, a replay that gives the same trace again.
import t from 'tap';
import { loadConfigText } from '#src/config/load.js';
import { runEach, runZswapd } from '../support/run_zswapd.ts';

const MISTAKES: readonly (readonly [string[], RegExp])[] = [
  [['--replay', 'zx0:leak:a:1>0'], /^--replay: .* is of version zx0, allowed: zx1:/],
  [['--replay', 'leak'], /^--replay: "leak" is no replay string/],
  [['--replay', 'zx1:leak:pin-validate+pin-first+skip-eexist+erase:3>1,2>0'], /no choice.*ascending/],
  [['--replay', 'zx1:leak:pin-validate+pin-first+skip-eexist+erase:3>5'], /does not fit this scenario/],
  [['--replay', 'zx1:leak:constructor+pin-first+skip-eexist+erase:'], /^--replay: ".*" names no protocols/],
  [
    ['--replay', 'zx1:leak:pin-validate+pin-first+skip-eexist+erase+toString:'],
    /^--replay: there is no switch "toString"/,
  ],
  [['--strategy', 'toString'], /^--strategy: "toString", allowed: dfs, pct, random/],
  [['--bound', '40'], /^--bound: "40", allowed: a whole number from 0 to 5/],
  [['--scenario', 'nope'], /^--scenario: there is no scenario "nope", allowed: leak/],
  [['--strategy', 'luck'], /^--strategy: "luck", allowed: dfs, pct, random/],
  [
    ['--set', 'protocol.entry=magic'],
    /^--set protocol\.entry: "magic" is not one of the names, allowed: "refcount-2013"/,
  ],
  [['--set', 'protocol.magic=true'], /^--set protocol\.magic: unknown key, allowed: preset, entry/],
  [['--set', 'pool.max=1GiB'], /^--set: "pool.max=1GiB", allowed here: protocol.KEY=VALUE/],
  [
    ['--set', 'protocol.invalidate=load-reset', '--set', 'protocol.entry=cas-2013'],
    /^--set protocol\.invalidate: "load-reset" frees what it erased/,
  ],
  [['--matrix', '--set', 'protocol.preset=v6.8'], /^zswapd: option '--matrix' cannot be used with option '--set /],
  [['--matrix', '--strategy', 'dfs'], /^zswapd: option '--matrix' cannot be used with option '--strategy /],
  [['--matrix', '--seed', '1'], /^zswapd: option '--matrix' cannot be used with option '--seed /],
  [['--matrix', '--replay', 'zx1:'], /^zswapd: option '--matrix' cannot be used with option '--replay /],
  [['--replay', 'zx1:', '--scenario', 'leak'], /^zswapd: option '--replay .* cannot be used with option '--scenario /],
  [['--replay', 'zx1:', '--bound', '2'], /^zswapd: option '--replay .* cannot be used with option '--bound /],
];

const said = await runEach(MISTAKES.map(([args]) => ['explore', ...args]));
t.equal(said.length, MISTAKES.length);
for (const [i, [args, pattern]] of MISTAKES.entries()) {
  t.test(`explore ${args.join(' ')}`, async (t) => {
    const { code, stdout, stderr } = said[i];
    t.equal(code, 2);
    t.equal(stdout, '');
    t.match(stderr, pattern);
    t.equal(stderr.trimEnd().split('\n').length, 1, 'one line');
  });
}

const CONTRADICTION = ['--set', 'protocol.preset=v3.12', '--set', 'protocol.entry=pin-validate'];

t.test('a mistake ends the process as its line says', async (t) => {
  t.same(await runZswapd(['explore', ...MISTAKES[0][0]]), said[0]);
});

t.test('a setting that contradicts its preset is refused as config check refuses it', async (t) => {
  const explored = await runZswapd(['explore', '--scenario', 'leak', ...CONTRADICTION]);
  const checked = await runZswapd(['config', 'check', ...CONTRADICTION]);
  t.match(explored.stderr, /^--set protocol\.entry: "pin-validate" contradicts protocol\.preset "v3\.12", allowed: /);
  t.same(explored, checked);
});

t.test('without a setting, what a server runs by default is explored', async (t) => {
  const { code, stdout } = await runZswapd(['explore', '--scenario', 'fast-path', '--bound', '0', '--json']);
  t.equal(code, 0);
  const { protocol } = loadConfigText('c.jsonc', '{}').config;
  const names = [protocol.entry, protocol.swapoff, protocol.busy, protocol.invalidate];
  t.equal(JSON.parse(stdout).combination, names.join('+'));
});

t.test('a trace names its replay string, which gives the trace again', async (t) => {
  const search = [
    'explore',
    '--scenario',
    'leak',
    '--set',
    'protocol.entry=refcount-2013',
    '--set',
    'protocol.swapoff=free-immediately',
  ];
  const found = await runZswapd([...search, '--json']);
  t.equal(found.code, 1, 'something was found');
  const { trace, verdict } = JSON.parse(found.stdout);
  t.equal(verdict, 'leak');
  const again = await runZswapd(['explore', '--json', '--replay', trace.replay]);
  t.equal(again.code, 1);
  t.same(JSON.parse(again.stdout).trace, trace);
  const table = await runZswapd(['explore', '--replay', trace.replay]);
  t.match(table.stdout, /shrinker +\| trim/);
  t.match(table.stdout, /1\. W1 .*src\/protocols\/entry\/refcount_2013_writeback\.ts:\d+/);
});

t.test('a matrix says how far it has come while a scenario is explored, and at its end', async (t) => {
  const started = performance.now();
  const { code, stdout, stderr } = await runZswapd([
    'explore',
    '--matrix',
    '--bound',
    '1',
    '--scenario',
    'leak',
    '--json',
  ]);
  const seconds = (performance.now() - started) / 1000;
  t.equal(code, 0);
  const { explored } = JSON.parse(stdout) as { explored: { schedules: number }[] };
  const schedules = explored.reduce((sum, one) => sum + one.schedules, 0);
  const lines = stderr.trimEnd().split('\n');
  const form = /^(\d+) cells and (\d) of 1 scenarios explored, (\d+) schedules, \d+ s$/;
  const found = lines.map((line) => form.exec(line)?.slice(1).map(Number));
  t.same(found.at(-1), [explored.length, 1, schedules], 'the last line is the whole');
  t.ok(lines.length >= 2 || seconds < 4, 'there are lines before it');
  t.ok(lines.length <= 1 + seconds / 2, 'one in two seconds at most');
  for (const line of found.slice(0, -1)) t.equal(line?.[1], 0);
});
