// `zswapd explore` as a command: one line and exit 2 for each mistake, a replay that gives the same trace again.
import t from 'tap';
import { runZswapd } from './run_explore.ts';

const MISTAKES: readonly (readonly [string[], RegExp])[] = [
  [['--replay', 'zx0:leak:a:1>0'], /^--replay: .* is of version zx0, allowed: zx1:/],
  [['--replay', 'leak'], /^--replay: "leak" is no replay string/],
  [['--replay', 'zx1:leak:pin-validate+pin-first+skip-eexist+erase:3>1,2>0'], /no choice.*ascending/],
  [['--replay', 'zx1:leak:pin-validate+pin-first+skip-eexist+erase:3>5'], /does not fit this scenario/],
  [['--bound', '40'], /^--bound: "40", allowed: a whole number from 0 to 5/],
  [['--scenario', 'nope'], /^--scenario: there is no scenario "nope", allowed: leak/],
  [['--strategy', 'luck'], /^--strategy: "luck", allowed: dfs, pct, random/],
  [['--set', 'protocol.entry=magic'], /protocol\.entry=magic.* is no choice of protocols/],
  [['--set', 'pool.max=1GiB'], /^--set: "pool.max=1GiB", allowed here: protocol.KEY=VALUE/],
  [
    ['--set', 'protocol.invalidate=load-reset', '--set', 'protocol.entry=cas-2013'],
    /^protocol\.invalidate: .*load-reset/,
  ],
];

for (const [args, pattern] of MISTAKES) {
  t.test(`explore ${args.join(' ')}`, async (t) => {
    const { code, stdout, stderr } = await runZswapd(['explore', ...args]);
    t.equal(code, 2);
    t.equal(stdout, '');
    t.match(stderr, pattern);
    t.equal(stderr.trimEnd().split('\n').length, 1, 'one line');
  });
}

t.test('a trace names its replay string, which gives the trace again', async (t) => {
  const search = [
    'explore',
    '--scenario',
    'leak',
    '--set',
    'protocol.preset=v3.12',
    '--set',
    'protocol.busy=skip-eexist',
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
  t.match(table.stdout, /1\. W1 .*src\/protocols\/refcount_2013\.ts:\d+/);
});

t.test('a matrix says how far it has come while a scenario is explored, and at its end', async (t) => {
  const started = performance.now();
  const { code, stdout, stderr } = await runZswapd(['explore', '--matrix', '--scenario', 'leak', '--json']);
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
