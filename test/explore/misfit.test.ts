// A scenario whose race the protocols can't have is refused by name; and nothing is missed by that.
import t from 'tap';
import { SCENARIOS as ALL } from '#src/explore/scenarios/scenarios.js';
import { parseReplay } from '#src/explore/schedule/replay_string.js';
import { misfit } from '#src/explore/search/misfit.js';
import { EXPECTED, SCENARIOS } from '#src/scripts/pages/expected_matrix.js';
import { runEach, runZswapd } from '../support/run_zswapd.ts';

const ISOLATE = 'refcount-lru-isolate+tree-refcount+skip-eexist+erase';
const REASONS: readonly (readonly [string, string, RegExp])[] = [
  ['fast-path', ISOLATE, /which only pin-validate takes, allowed: "pin-validate"$/],
  ['fast-path-split', ISOLATE, /which only pin-validate takes, allowed: "pin-validate"$/],
  ['swapoff-late', 'pin-validate+pin-first+skip-eexist+erase', /there is no late window, allowed: "refcount-2013", /],
  ['fault-recursion-putback', 'pin-validate+pin-first+none+erase', /, allowed: "refcount-lru-isolate"$/],
];

function flagsFor(combination: string): string[] {
  const names = combination.split('+');
  return ['entry', 'swapoff', 'busy', 'invalidate'].flatMap((key, i) => ['--set', `protocol.${key}=${names[i]}`]);
}

const LINES = REASONS.flatMap(([scenario, combination, reason]) => [
  { scenario, reason, args: ['--scenario', scenario, ...flagsFor(combination)] },
  { scenario, reason, args: ['--replay', `zx1:${scenario}:${combination}:`] },
]);
const said = await runEach(LINES.map(({ args }) => ['explore', ...args]));

for (const [i, { scenario, reason, args }] of LINES.entries()) {
  t.test(`${args.join(' ')} is one line and exit 2`, async (t) => {
    const { code, stdout, stderr } = said[i];
    const line = stderr.trimEnd();
    t.equal(code, 2);
    t.equal(stdout, '');
    t.ok(line.startsWith(`${args[0]}: "${scenario}" does not fit protocol.entry "`), line);
    t.match(line, reason);
    t.notMatch(line, /\n/);
  });
}

t.test('without --scenario, those that do not fit are left out, with the reason', async (t) => {
  const { code, stdout, stderr } = await runZswapd(['explore', '--bound', '0', '--json']);
  t.equal(code, 0);
  const left = stderr.split('\n').flatMap((line) => /^left out: "([^"]+)" does not fit/.exec(line)?.[1] ?? []);
  const explored = stdout.trimEnd().split('\n');
  t.same(left, ['swapoff-late', 'fault-recursion-putback']);
  t.same(
    explored.map((line) => JSON.parse(line).scenario),
    ALL.map(({ name }) => name).filter((name) => !left.includes(name)),
  );
});

t.test('what a cell that does not fit finds, another scenario of its row finds', async (t) => {
  const missed: string[] = [];
  for (const [name, row] of Object.entries(EXPECTED)) {
    const { combination } = parseReplay(`zx1:leak:${name}:`);
    const fits = SCENARIOS.map((scenario) => misfit(scenario, combination) === null);
    const found = new Set([...row].filter((_, i) => fits[i]));
    SCENARIOS.forEach((scenario, i) => {
      if (!fits[i] && row[i] !== '.' && !found.has(row[i])) missed.push(`${row[i]} in ${scenario} under ${name}`);
    });
  }
  t.same(missed, []);
});

t.test('a matrix explores those cells, and gives a replay string where it is taken', async (t) => {
  const args = ['explore', '--matrix', '--bound', '0', '--scenario', 'fault-recursion-putback', '--json'];
  const { stdout } = await runZswapd(args);
  const { explored } = JSON.parse(stdout) as { explored: { verdict: string; replay: string }[] };
  const given = explored.filter(({ replay }) => replay !== '');
  t.ok(explored.filter(({ verdict }) => verdict !== 'clean').length > given.length, 'findings without a replay string');
  t.ok(given.every(({ replay }) => replay.startsWith('zx1:fault-recursion-putback:refcount-lru-isolate+')));
});
