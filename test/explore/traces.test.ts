// The races of the mailing list are found, as what they are, in no more steps than they were told in; and they replay.
import t from 'tap';
import { minimise, record } from '#src/explore/search/minimise.js';
import { scenarioNamed } from '#src/scripts/pages/scenarios.js';
import { exploreCell, withEngine } from './cells.ts';

const SAFE_P3 = 'refcount-lru-isolate+tree-refcount';

const TRACES = [
  ['leak', 'refcount-2013+free-immediately+skip-eexist+erase', 'leak', 5],
  ['stale-data', 'refcount-2013+free-immediately+skip-eexist+erase+leakFix', 'stale data', 7],
  ['swapoff', 'refcount-lru-isolate+free-immediately+skip-eexist+erase', 'use after free', 5],
  ['swapoff', 'refcount-lru-isolate+drain+skip-eexist+erase', 'use after free', 6],
  ['swapoff-late', 'refcount-lru-isolate+free-immediately+skip-eexist+erase', 'use after free', 8],
  ['fault-recursion-putback', `${SAFE_P3}+remove-from-lru-on-fault+erase`, 'deadlock', 6],
  ['fast-path', 'pin-validate+pin-first+skip-eexist+load-noreload', 'use after free', 4],
  ['duplicate-store', 'cas-2013+free-immediately+skip-eexist+erase', 'deadlock', 6],
  ['fault-recursion', 'pin-validate+pin-first+none+erase', 'deadlock', 4],
  ['load', 'pin-validate+pin-first+skip-eexist+erase+exclusiveBypass', 'stale data', 4],
  ['slot-reuse', 'pin-validate+pin-first+skip-eexist+erase+slotReusableBeforeInvalidate', 'lost data', 4],
] as const;

t.test('traces', (t) =>
  withEngine(async (engine) => {
    for (const [scenario, combination, kind, stepsMax] of TRACES) {
      const { failure } = await exploreCell(engine, scenario, combination);
      if (failure === null) {
        t.fail(`${scenario} under ${combination}: clean`);
        continue;
      }
      const shortest = minimise(engine, failure);
      t.equal(shortest.finding?.kind, kind, `${scenario} under ${combination}`);
      t.ok(shortest.steps <= stepsMax, `${scenario}: ${shortest.steps} steps, at most ${stepsMax}`);
      t.same(record(engine, shortest.schedule).lines, shortest.lines, 'the same again');
      t.ok(
        shortest.lines.every(({ kind, at }) => kind !== 'step' || /\.[jt]s:\d+:\d+$/.test(at ?? '')),
        'each step has its place in the source',
      );
    }
  }),
);

t.test('a slot that becomes free is told where it happens, by who does it, and is no step', (t) =>
  withEngine(async (engine) => {
    for (const [scenario, combination, actor, next] of [
      ['leak', 'refcount-2013+free-immediately+skip-eexist+erase', 'trim', 'INV: erase'],
      ['swapoff', 'refcount-lru-isolate+free-immediately+skip-eexist+erase', 'swapoff', 'INV: erase'],
    ] as const) {
      const { failure } = await exploreCell(engine, scenario, combination);
      if (failure === null) throw new Error(`${scenario}: clean`);
      const { lines, steps } = minimise(engine, failure);
      const thread = scenarioNamed(scenario).actors.findIndex(({ name }) => name === actor);
      const own = lines.filter((line) => line.actor === thread).map(({ kind, text }) => `${kind} ${text}`);
      t.same(own.slice(0, 2), ['note slot 1 is free', `step ${next}`], scenario);
      t.equal(own.filter((line) => line.includes('is free')).length, 1, 'once');
      t.equal(lines.filter(({ kind }) => kind === 'step').length, steps, 'not counted');
    }
  }),
);
