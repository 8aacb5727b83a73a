// What is expected of the matrix agrees with what the server says at start about broken choices, and with the safety matrix
// of the protocols' reference.
import t from 'tap';
import { SCENARIOS as BUILT } from '#src/explore/scenarios/scenarios.js';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { signature } from '#src/explore/search/dimensions.js';
import { allCombinations, broken } from '#src/protocols/combinations.js';
import type { Combination } from '#src/protocols/index.js';
import { EXPECTED, ROWS, SCENARIOS } from '#src/scripts/pages/expected_matrix.js';
import { expectedVerdict } from '#src/scripts/pages/verdicts.js';

const found = (combination: Combination): string[] =>
  SCENARIOS.filter((scenario) => expectedVerdict(formatCombination(combination), scenario) !== 'clean');

t.test('every combination and every scenario has an expectation', async (t) => {
  t.same(
    SCENARIOS,
    BUILT.map(({ name }) => name),
  );
  t.same(Object.keys(EXPECTED), allCombinations().map(formatCombination));
  t.same(
    Object.keys(EXPECTED).filter((name) => EXPECTED[name].length !== SCENARIOS.length),
    [],
  );
});

t.test('no expectation is written twice, nor for a combination that there is not', async (t) => {
  const known = new Map(allCombinations().map((one) => [formatCombination(one), signature(one, -1)]));
  t.same(
    Object.keys(ROWS).filter((name) => !known.has(name)),
    [],
  );
  const wholes = Object.keys(ROWS).map((name) => known.get(name));
  t.equal(new Set(wholes).size, wholes.length);
});

t.test('pin-first is free-immediately by another name, and is expected to do the same', async (t) => {
  const twins = allCombinations().filter(({ swapoff }) => swapoff === 'pin-first');
  const expected = (one: Combination) => EXPECTED[formatCombination(one)];
  const differing = twins.filter((one) => {
    const twin = expected({ ...one, swapoff: 'free-immediately' });
    return twin !== undefined && twin !== expected(one);
  });
  t.same(differing.map(formatCombination), []);
});

t.test('what the server calls broken is found to be broken, and the rest is clean', async (t) => {
  const disagreeing = allCombinations().filter((combination) => {
    const said = broken(combination).length > 0;
    return said !== found(combination).length > 0;
  });
  t.same(disagreeing.map(formatCombination), []);
});

/** Rows of the reference: which scenarios find something, and which must not. */
const REFERENCE: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  [
    'refcount-2013+free-immediately+none+erase',
    ['leak', 'stale-data', 'swapoff', 'fault-recursion', 'resend-limit'],
    ['fast-path', 'fast-path-split', 'fast-path-grow', 'fast-path-reuse', 'read-trim', 'write-trim'],
  ],
  ['refcount-2013+free-immediately+none+erase+leakFix', ['stale-data', 'swapoff', 'fault-recursion'], ['leak']],
  [
    'refcount-2013+free-immediately+none+erase+leakFix+validate',
    ['swapoff', 'fault-recursion'],
    ['leak', 'stale-data', 'recycled-slot'],
  ],
  ['cas-2013+free-immediately+none+erase', ['duplicate-store', 'fault-recursion'], ['leak', 'recycled-slot']],
  [
    'refcount-lru-isolate+free-immediately+skip-eexist+erase',
    ['swapoff', 'swapoff-late', 'swapon', 'swapoff-slot-0', 'swapoff-keep'],
    ['leak'],
  ],
  [
    'refcount-lru-isolate+drain+skip-eexist+erase',
    ['swapoff', 'swapoff-slot-0', 'swapoff-keep'],
    ['leak', 'stale-data'],
  ],
  ['refcount-lru-isolate+tree-refcount+skip-eexist+erase', [], SCENARIOS],
  ['refcount-lru-isolate+drain-early-ref+skip-eexist+erase', [], SCENARIOS],
  ['refcount-lru-isolate+tree-refcount+remove-from-lru-on-fault+erase', ['fault-recursion-putback'], ['leak']],
  ['pin-validate+pin-first+skip-eexist+erase', [], SCENARIOS],
  ['pin-validate+pin-first+skip-eexist+empty-check', [], SCENARIOS],
  ['pin-validate+pin-first+skip-eexist+load-reset', [], SCENARIOS],
  ['pin-validate+pin-first+skip-eexist+load-reload', [], SCENARIOS],
  ['pin-validate+free-immediately+skip-eexist+erase', [], SCENARIOS],
  [
    'pin-validate+pin-first+skip-eexist+load-noreload',
    ['fast-path', 'fast-path-split', 'fast-path-grow'],
    ['leak', 'stale-data', 'swapoff'],
  ],
  // With absolute indices, as in the kernel, only the header's slot has an entry in the head of its tree.
  [
    'pin-validate+pin-first+skip-eexist+load-noreload+treeIndexing=absolute',
    ['fast-path', 'fast-path-grow'],
    SCENARIOS.filter((scenario) => scenario !== 'fast-path' && scenario !== 'fast-path-grow'),
  ],
  [
    'pin-validate+pin-first+skip-eexist+erase+exclusiveBypass',
    ['load', 'second-chance', 'rejected-store-error'],
    ['leak', 'swapoff'],
  ],
  [
    'pin-validate+pin-first+skip-eexist+erase+slotReusableBeforeInvalidate',
    ['slot-reuse', 'swapoff-trim', 'write-trim'],
    ['leak', 'swapoff'],
  ],
];

t.test('the safety matrix of the reference', async (t) => {
  for (const [combination, breaks, holds] of REFERENCE) {
    for (const scenario of breaks)
      t.not(expectedVerdict(combination, scenario), 'clean', `${scenario}: ${combination}`);
    for (const scenario of holds)
      t.equal(expectedVerdict(combination, scenario), 'clean', `${scenario}: ${combination}`);
  }
});
